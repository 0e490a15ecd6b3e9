"""Claiming in the database: one call finds who asks, by which right, what is theirs or next, and what their page shows.

Plans are fixed to the indexes made for them: a corpus may grow by a hundred thousand rows between two statistics. Only
the search through the queue is kept from sorting, in a function of its own: kept from it everywhere, the planner reads
whole tables in the order that an aggregate asks for. `user_id + 0` keeps it from looking for one claim among all that a
person ever had. Whoever has nothing in hand is not asked twice what that is, and a place in the queue is written without
being read.
"""

from django.db import migrations

PLANS = """SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET enable_presorted_aggregate = off SET plan_cache_mode = force_generic_plan"""
ORDERED = f"{PLANS} SET enable_sort = off"

SWEEP = """
CREATE OR REPLACE FUNCTION checking_sweep(p_corpus bigint, p_roles text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE n integer;
BEGIN
  WITH overdue AS (
    SELECT claim.id, claim.slot_id FROM checking_claim claim JOIN checking_slot slot ON slot.id = claim.slot_id
    WHERE claim.corpus_id = p_corpus AND claim.state = 'live' AND claim.lease_end < statement_timestamp()
    FOR UPDATE OF claim, slot SKIP LOCKED
  ), deserted AS (
    SELECT claim.id, claim.slot_id FROM checking_claim claim JOIN checking_slot slot ON slot.id = claim.slot_id
    WHERE claim.corpus_id = p_corpus AND claim.state = 'returned' AND NOT EXISTS (
      SELECT 1 FROM accounts_user person
      WHERE person.id = claim.user_id AND person.is_active AND (person.is_superuser OR EXISTS (
        SELECT 1 FROM clips_membership member
        WHERE member.user_id = person.id AND member.corpus_id = claim.corpus_id AND member.role = ANY(p_roles))))
    FOR UPDATE OF claim, slot SKIP LOCKED
  ), gone AS (
    SELECT id, slot_id FROM overdue UNION ALL SELECT id, slot_id FROM deserted
  ), expired AS (
    UPDATE checking_claim SET state = 'expired', updated_at = statement_timestamp() WHERE id IN (SELECT id FROM gone)
  )
  UPDATE checking_slot SET state = 'open' WHERE id IN (SELECT slot_id FROM gone) AND state = 'claimed';
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END $$;
"""

OFFER = """
CREATE OR REPLACE FUNCTION checking_offer(p_clip bigint) RETURNS jsonb LANGUAGE sql AS $$
  SELECT COALESCE(jsonb_agg(clue.id ORDER BY
    CASE clue.modality WHEN 'visual' THEN 0 WHEN 'audio' THEN 1 ELSE 2 END, clue.aspect COLLATE "C",
    COALESCE(clue.span_start, -1), clue.language COLLATE "C", clue.text COLLATE "C", clue.id), '[]')
  FROM prelabels_clue clue WHERE clue.clip_id = p_clip AND clue.superseded_at IS NULL
$$;
"""

PICK = f"""
CREATE OR REPLACE FUNCTION checking_queue_pick(
  p_user bigint, p_corpus bigint, p_kind text, p_head integer, p_languages integer,
  OUT slot_id bigint, OUT clip_id bigint, OUT priority smallint, OUT score double precision
) LANGUAGE plpgsql {ORDERED} AS $$
#variable_conflict use_column
DECLARE
  v_place record;
  v_slot record;
  v_found boolean := false;
  v_placed boolean := false;
BEGIN
  -- The head of the queue, which also holds what others gave back.
  FOR v_slot IN
    SELECT head.id, head.clip_id, head.priority, head.score FROM (
      SELECT slot.id, slot.clip_id, slot.priority, slot.score, slot.languages FROM checking_slot slot
      WHERE slot.corpus_id = p_corpus AND slot.kind = p_kind AND slot.state = 'open'
      ORDER BY slot.priority DESC, slot.score DESC, slot.id LIMIT p_head
    ) head
    WHERE head.languages & p_languages = p_languages AND NOT EXISTS (
      SELECT 1 FROM checking_claim known WHERE known.user_id = p_user AND known.clip_id = head.clip_id)
    ORDER BY head.priority DESC, head.score DESC, head.id
  LOOP
    PERFORM 1 FROM checking_slot WHERE id = v_slot.id AND state = 'open' FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
      v_found := true;
      EXIT;
    END IF;
  END LOOP;
  IF NOT v_found THEN
    SELECT place.id, place.priority, place.score, place.slot_id INTO v_place FROM checking_queueplace place
    WHERE place.user_id = p_user AND place.corpus_id = p_corpus AND place.kind = p_kind;
    v_placed := FOUND;
  END IF;
  -- Where several annotations are wanted, somebody ahead of the others leaves thousands of open slots behind that
  -- are not for them: the search goes on from where this person got to.
  IF v_placed THEN
    SELECT slot.id, slot.clip_id, slot.priority, slot.score INTO v_slot FROM checking_slot slot
    WHERE slot.corpus_id = p_corpus AND slot.kind = p_kind AND slot.state = 'open'
      AND slot.priority = v_place.priority AND slot.score = v_place.score AND slot.id > v_place.slot_id
      AND slot.languages & p_languages = p_languages AND NOT EXISTS (
        SELECT 1 FROM checking_claim known WHERE known.user_id = p_user AND known.clip_id = slot.clip_id)
    ORDER BY slot.priority DESC, slot.score DESC, slot.id LIMIT 1 FOR UPDATE OF slot SKIP LOCKED;
    v_found := FOUND;
    IF NOT v_found THEN
      SELECT slot.id, slot.clip_id, slot.priority, slot.score INTO v_slot FROM checking_slot slot
      WHERE slot.corpus_id = p_corpus AND slot.kind = p_kind AND slot.state = 'open'
        AND slot.priority = v_place.priority AND slot.score < v_place.score
        AND slot.languages & p_languages = p_languages AND NOT EXISTS (
          SELECT 1 FROM checking_claim known WHERE known.user_id = p_user AND known.clip_id = slot.clip_id)
      ORDER BY slot.priority DESC, slot.score DESC, slot.id LIMIT 1 FOR UPDATE OF slot SKIP LOCKED;
      v_found := FOUND;
    END IF;
    IF NOT v_found THEN
      SELECT slot.id, slot.clip_id, slot.priority, slot.score INTO v_slot FROM checking_slot slot
      WHERE slot.corpus_id = p_corpus AND slot.kind = p_kind AND slot.state = 'open'
        AND slot.priority < v_place.priority
        AND slot.languages & p_languages = p_languages AND NOT EXISTS (
          SELECT 1 FROM checking_claim known WHERE known.user_id = p_user AND known.clip_id = slot.clip_id)
      ORDER BY slot.priority DESC, slot.score DESC, slot.id LIMIT 1 FOR UPDATE OF slot SKIP LOCKED;
      v_found := FOUND;
    END IF;
  END IF;
  IF NOT v_found THEN  -- the last resort: every open slot
    SELECT slot.id, slot.clip_id, slot.priority, slot.score INTO v_slot FROM checking_slot slot
    WHERE slot.corpus_id = p_corpus AND slot.kind = p_kind AND slot.state = 'open'
      AND slot.languages & p_languages = p_languages AND NOT EXISTS (
        SELECT 1 FROM checking_claim known WHERE known.user_id = p_user AND known.clip_id = slot.clip_id)
    ORDER BY slot.priority DESC, slot.score DESC, slot.id LIMIT 1 FOR UPDATE OF slot SKIP LOCKED;
    v_found := FOUND;
  END IF;
  IF v_found THEN
    slot_id := v_slot.id;
    clip_id := v_slot.clip_id;
    priority := v_slot.priority;
    score := v_slot.score;
  END IF;
END $$;
"""

# Locks: the person's turn, then slots, skipping what others hold. Nothing here waits but for the turn.
CLAIM_NEXT = f"""
CREATE OR REPLACE FUNCTION checking_claim_next(
  p_user bigint, p_name text, p_corpus bigint, p_slug text, p_kind text, p_ahead boolean, p_held integer,
  p_lease double precision, p_head integer, p_languages integer, p_roles text[], p_queue boolean, p_request text,
  OUT claim_id bigint, OUT created boolean
) LANGUAGE plpgsql {PLANS} AS $$
DECLARE
  v_now timestamptz := statement_timestamp();
  v_end timestamptz := statement_timestamp() + p_lease * interval '1 second';
  v_kinds text[] := CASE p_kind WHEN 'annotate' THEN ARRAY['annotate', 'gold'] ELSE ARRAY[p_kind] END;
  v_live bigint[];
  v_back record;
  v_mine boolean := false;
  v_clip bigint;
  v_slot record;
BEGIN
  created := false;
  PERFORM pg_advisory_xact_lock(hashtextextended('claims ' || p_user || ' ' || p_corpus, 0));
  IF EXISTS (SELECT 1 FROM checking_claim
             WHERE corpus_id = p_corpus AND state = 'live' AND lease_end < statement_timestamp())
     OR EXISTS (SELECT 1 FROM checking_claim WHERE corpus_id = p_corpus AND state = 'returned') THEN
    PERFORM checking_sweep(p_corpus, p_roles);
  END IF;

  -- Who holds nothing and left nothing behind is at the queue at once.
  IF EXISTS (SELECT 1 FROM checking_claim mine WHERE mine.user_id = p_user AND mine.corpus_id = p_corpus
             AND mine.state IN ('live', 'returned', 'expired', 'lost', 'reopened')) THEN
    SELECT array_agg(claim.id ORDER BY claim.id) INTO v_live
    FROM checking_claim claim JOIN checking_slot slot ON slot.id = claim.slot_id
    WHERE claim.user_id = p_user AND claim.corpus_id = p_corpus AND claim.state = 'live' AND slot.kind = ANY(v_kinds);
    IF v_live IS NOT NULL AND NOT (p_ahead AND cardinality(v_live) < p_held) THEN
      claim_id := CASE WHEN p_ahead THEN v_live[cardinality(v_live)] ELSE v_live[1] END;
      RETURN;
    END IF;

    SELECT claim.id, claim.slot_id, claim.clip_id, claim.state INTO v_back
    FROM checking_claim claim JOIN checking_slot slot ON slot.id = claim.slot_id
    WHERE claim.user_id = p_user AND claim.corpus_id = p_corpus AND slot.kind = ANY(v_kinds)
      AND claim.state IN ('returned', 'expired', 'lost', 'reopened')
      AND (claim.state = 'returned' OR slot.state = 'open')
    ORDER BY claim.state <> 'returned', claim.id LIMIT 1 FOR UPDATE OF claim, slot SKIP LOCKED;
    v_mine := FOUND;
  END IF;
  IF v_mine THEN
    claim_id := v_back.id;
    v_clip := v_back.clip_id;
    UPDATE checking_slot SET state = 'claimed' WHERE id = v_back.slot_id;
    UPDATE checking_claim SET state = 'live', lease_end = v_end, updated_at = v_now,
      offered = CASE WHEN v_back.state <> 'returned'  -- nothing refers to the old offer yet
                      AND NOT EXISTS (SELECT 1 FROM checking_draft draft WHERE draft.claim_id = v_back.id)
                THEN checking_offer(v_back.clip_id) ELSE offered END
    WHERE id = v_back.id;
  ELSIF p_queue THEN
    SELECT pick.slot_id AS id, pick.clip_id, pick.priority, pick.score INTO v_slot
    FROM checking_queue_pick(p_user, p_corpus, p_kind, p_head, p_languages) pick;
    IF v_slot.id IS NULL THEN
      RETURN;
    END IF;
    UPDATE checking_slot SET state = 'claimed' WHERE id = v_slot.id;
    INSERT INTO checking_claim (slot_id, clip_id, corpus_id, user_id, state, lease_end, offered, return_reason,
      skip_reason, created_at, updated_at)
    VALUES (v_slot.id, v_slot.clip_id, p_corpus, p_user, 'live', v_end, checking_offer(v_slot.clip_id), '', '', v_now,
      v_now)
    RETURNING id INTO claim_id;
    -- The place only goes forward: what is taken at the head may lie before it.
    INSERT INTO checking_queueplace AS place (user_id, corpus_id, kind, priority, score, slot_id)
    VALUES (p_user, p_corpus, p_kind, v_slot.priority, v_slot.score, v_slot.id)
    ON CONFLICT ON CONSTRAINT place_once DO UPDATE
      SET priority = excluded.priority, score = excluded.score, slot_id = excluded.slot_id
      WHERE (-excluded.priority, -excluded.score, excluded.slot_id) > (-place.priority, -place.score, place.slot_id);
    v_clip := v_slot.clip_id;
  ELSE
    RETURN;
  END IF;

  created := true;
  INSERT INTO core_auditentry (at, actor_id, actor_name, action, corpus, target, request_id, detail)
  VALUES (v_now, p_user, p_name, 'claim.take', p_slug, 'claim ' || claim_id, p_request, jsonb_build_object(
    'clip', (SELECT clip.name FROM clips_clip clip WHERE clip.id = v_clip), 'kind', p_kind));
END $$;
"""

FACTS = f"""
CREATE OR REPLACE FUNCTION checking_claim_facts(p_claim bigint) RETURNS json LANGUAGE plpgsql {PLANS} AS $$
BEGIN
  RETURN (
    SELECT json_build_object(
      'claim', json_build_object('id', claim.id, 'slot_id', claim.slot_id, 'clip_id', claim.clip_id,
        'corpus_id', claim.corpus_id, 'user_id', claim.user_id, 'state', claim.state, 'lease_end', claim.lease_end,
        'offered', claim.offered, 'arm', claim.arm, 'planted_id', claim.planted_id,
        'return_reason', claim.return_reason, 'skip_reason', claim.skip_reason, 'created_at', claim.created_at,
        'updated_at', claim.updated_at),
      'slot', json_build_object('id', slot.id, 'corpus_id', slot.corpus_id, 'clip_id', slot.clip_id,
        'kind', slot.kind, 'number', slot.number, 'state', slot.state, 'priority', slot.priority,
        'score', slot.score, 'mode', slot.mode, 'languages', slot.languages),
      'clip', to_jsonb(clip) - 'probe',
      'corpus', to_jsonb(corpus),
      'rules', (SELECT json_build_object('blind_sources', rules.blind_sources, 'auto_accept', rules.auto_accept)
                FROM checking_checkingrules rules WHERE rules.corpus_id = claim.corpus_id),
      'subtitles', (SELECT json_object_agg(spoken.language, spoken.text) FROM clips_subtitle spoken
                    WHERE spoken.clip_id = claim.clip_id),
      'clues', CASE WHEN slot.kind = 'review' THEN '[]'::json ELSE COALESCE((
        SELECT json_agg(json_build_object('id', clue.id, 'modality', clue.modality, 'aspect', clue.aspect,
          'language', clue.language, 'text', clue.text, 'texts', clue.texts, 'codes', clue.codes,
          'span', CASE WHEN clue.span_start IS NOT NULL AND clue.span_end IS NOT NULL
                  THEN json_build_array(clue.span_start, clue.span_end) END,
          'gate', clue.gate, 'prelabeller', maker.name, 'model', COALESCE(clue.provenance->'model',
            to_jsonb(NULLIF(maker.model, ''))), 'prompt', clue.provenance->'prompt') ORDER BY offer.place)
        FROM jsonb_array_elements_text(claim.offered) WITH ORDINALITY offer (id, place)
        JOIN prelabels_clue clue ON clue.id = offer.id::bigint
        JOIN prelabels_prelabeller maker ON maker.id = clue.prelabeller_id), '[]') END,
      'planted', (SELECT json_build_object('clue', planted.clue_id, 'language', planted.language,
          'text', planted.text, 'texts', planted.texts)
        FROM checking_plantederror planted WHERE planted.id = claim.planted_id),
      'derived', COALESCE((SELECT json_agg(made.kind) FROM clips_derivedmedia made
                           WHERE made.clip_id = claim.clip_id), '[]'),
      'au', (SELECT json_build_object('peak', track.peak) FROM clips_autrack track
             WHERE track.clip_id = claim.clip_id),
      'people', (SELECT count(*) FROM clips_seenperson seen WHERE seen.clip_id = claim.clip_id),
      'draft', (SELECT json_build_object('body', draft.body, 'version', draft.version) FROM checking_draft draft
                WHERE draft.claim_id = claim.id ORDER BY draft.version DESC LIMIT 1),
      'coarse', (SELECT json_build_object('line', revision.line, 'source', revision.source,
          'described', revision.provenance->'description'->'source')
        FROM checking_record record JOIN checking_recordrevision revision ON revision.record_id = record.id
        WHERE record.clip_id = claim.clip_id AND record.grade = 'coarse'
        ORDER BY revision.number DESC LIMIT 1)
    )
    FROM checking_claim claim
    JOIN checking_slot slot ON slot.id = claim.slot_id
    JOIN clips_clip clip ON clip.id = claim.clip_id
    JOIN clips_corpus corpus ON corpus.id = claim.corpus_id
    WHERE claim.id = p_claim
  );
END $$;
"""

# Nothing but `{}` where something is to be said or asked first: no such corpus, no right (`p_may`: the roles that give
# it), rules of its own.
CLAIM_HERE = f"""
CREATE OR REPLACE FUNCTION checking_claim_here(
  p_user bigint, p_name text, p_admin boolean, p_slug text, p_kind text, p_ahead boolean, p_held integer,
  p_lease double precision, p_head integer, p_may text[], p_roles text[], p_request text
) RETURNS json LANGUAGE plpgsql {PLANS} AS $$
DECLARE
  v_corpus bigint;
  v_next record;
BEGIN
  SELECT corpus.id INTO v_corpus FROM clips_corpus corpus
  WHERE corpus.slug = p_slug
    AND (p_admin OR EXISTS (SELECT 1 FROM clips_membership member
      WHERE member.user_id = p_user AND member.corpus_id = corpus.id AND member.role = ANY(p_may)))
    AND NOT EXISTS (SELECT 1 FROM checking_checkingrules rules WHERE rules.corpus_id = corpus.id);
  IF v_corpus IS NULL THEN
    RETURN '{{}}';
  END IF;
  SELECT taken.claim_id, taken.created INTO v_next FROM checking_claim_next(p_user, p_name, v_corpus, p_slug, p_kind,
    p_ahead, p_held, p_lease, p_head, 0, p_roles, true, p_request) taken;
  RETURN json_build_object('created', v_next.created,
    'facts', CASE WHEN v_next.claim_id IS NOT NULL THEN checking_claim_facts(v_next.claim_id) END);
END $$;
"""

DROP = """
DROP FUNCTION checking_claim_here; DROP FUNCTION checking_claim_facts; DROP FUNCTION checking_claim_next;
DROP FUNCTION checking_queue_pick; DROP FUNCTION checking_offer; DROP FUNCTION checking_sweep;
"""


class Migration(migrations.Migration):
    # Databases that had these have the same functions, and need this one no more.
    replaces = [("checking", "0008_queue_plans"), ("checking", "0011_claim_here")]
    dependencies = [("checking", "0007_quality_reports")]

    operations = [migrations.RunSQL(SWEEP + OFFER + PICK + CLAIM_NEXT + FACTS + CLAIM_HERE, DROP)]

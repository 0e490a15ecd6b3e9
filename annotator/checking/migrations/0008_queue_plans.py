"""The queue's functions planned anew: only the search through the queue is kept from sorting, in a function of its own.

Kept from sorting everywhere, the planner read whole tables in the order that an aggregate asked for. `user_id + 0` keeps
it from looking for one claim among all that a person ever had.
"""

from django.db import migrations

PLANS = """SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET enable_presorted_aggregate = off SET plan_cache_mode = force_generic_plan"""
ORDERED = f"{PLANS} SET enable_sort = off"

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
  SELECT place.id, place.priority, place.score, place.slot_id INTO v_place FROM checking_queueplace place
  WHERE place.user_id = p_user AND place.corpus_id = p_corpus AND place.kind = p_kind;
  -- Where several annotations are wanted, somebody ahead of the others leaves thousands of open slots behind that
  -- are not for them: the search goes on from where this person got to.
  IF NOT v_found AND v_place.id IS NOT NULL THEN
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
  v_place record;
  v_slot record;
BEGIN
  created := false;
  PERFORM pg_advisory_xact_lock(hashtextextended('claims ' || p_user || ' ' || p_corpus, 0));
  IF EXISTS (SELECT 1 FROM checking_claim
             WHERE corpus_id = p_corpus AND state = 'live' AND lease_end < statement_timestamp())
     OR EXISTS (SELECT 1 FROM checking_claim WHERE corpus_id = p_corpus AND state = 'returned') THEN
    PERFORM checking_sweep(p_corpus, p_roles);
  END IF;

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
  IF FOUND THEN
    claim_id := v_back.id;
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
    SELECT place.id, place.priority, place.score, place.slot_id INTO v_place FROM checking_queueplace place
    WHERE place.user_id = p_user AND place.corpus_id = p_corpus AND place.kind = p_kind;
    -- The place only goes forward: what is taken at the head may lie before it.
    IF v_place.id IS NULL THEN
      INSERT INTO checking_queueplace (user_id, corpus_id, kind, priority, score, slot_id)
      VALUES (p_user, p_corpus, p_kind, v_slot.priority, v_slot.score, v_slot.id);
    ELSIF (-v_slot.priority, -v_slot.score, v_slot.id) > (-v_place.priority, -v_place.score, v_place.slot_id) THEN
      UPDATE checking_queueplace SET priority = v_slot.priority, score = v_slot.score, slot_id = v_slot.id
      WHERE id = v_place.id;
    END IF;
  ELSE
    RETURN;
  END IF;

  created := true;
  INSERT INTO core_auditentry (at, actor_id, actor_name, action, corpus, target, request_id, detail)
  SELECT v_now, p_user, p_name, 'claim.take', p_slug, 'claim ' || claim_id, p_request,
    jsonb_build_object('clip', clip.name, 'kind', p_kind)
  FROM checking_claim claim JOIN clips_clip clip ON clip.id = claim.clip_id WHERE claim.id = claim_id;
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

SUBMISSION = f"""
CREATE OR REPLACE FUNCTION checking_submission(p_claim bigint, p_user bigint) RETURNS json LANGUAGE plpgsql {PLANS} AS $$
BEGIN
  RETURN (
    SELECT json_build_object(
      'claim', json_build_object('id', claim.id, 'state', claim.state, 'clip_id', claim.clip_id,
        'corpus_id', claim.corpus_id, 'offered', claim.offered, 'slot_id', claim.slot_id,
        'seconds', EXTRACT(epoch FROM statement_timestamp() - claim.created_at), 'kind', slot.kind,
        'planted_id', claim.planted_id),
      'clip', to_jsonb(clip) - 'probe',
      'corpus', to_jsonb(corpus),
      'roles', (SELECT json_agg(member.role) FROM clips_membership member
                WHERE member.user_id = p_user AND member.corpus_id = claim.corpus_id),
      'auto_accept', (SELECT rules.auto_accept IS NOT NULL FROM checking_checkingrules rules
                      WHERE rules.corpus_id = claim.corpus_id),
      'left', (SELECT count(*) FROM checking_slot other WHERE other.clip_id = claim.clip_id
               AND other.kind = 'annotate' AND other.state IN ('open', 'claimed') AND other.id <> slot.id),
      'subtitles', (SELECT json_object_agg(spoken.language, spoken.text) FROM clips_subtitle spoken
                    WHERE spoken.clip_id = claim.clip_id),
      'clues', COALESCE((
        SELECT json_agg(json_build_object('clue', to_jsonb(clue) - 'created_at' - 'superseded_at',
          'prelabeller', maker.name) ORDER BY offer.place)
        FROM jsonb_array_elements_text(claim.offered) WITH ORDINALITY offer (id, place)
        JOIN prelabels_clue clue ON clue.id = offer.id::bigint
        JOIN prelabels_prelabeller maker ON maker.id = clue.prelabeller_id), '[]'),
      'summaries', (SELECT json_agg(json_build_object('source', summary.source, 'description', summary.description,
          'provenance', summary.provenance) ORDER BY summary.id DESC)
        FROM checking_summary summary WHERE summary.claim_id = claim.id),
      'coarse', (SELECT json_agg(json_build_object('number', revision.number, 'line', revision.line,
          'detail', revision.source_detail, 'source', revision.source,
          'described', revision.provenance->'description') ORDER BY revision.id DESC)
        FROM checking_record record JOIN checking_recordrevision revision ON revision.record_id = record.id
        WHERE record.clip_id = claim.clip_id AND record.grade = 'coarse')
    )
    FROM checking_claim claim
    JOIN checking_slot slot ON slot.id = claim.slot_id
    JOIN clips_clip clip ON clip.id = claim.clip_id
    JOIN clips_corpus corpus ON corpus.id = claim.corpus_id
    WHERE claim.id = p_claim AND claim.user_id + 0 = p_user
  );
END $$;
"""

# NULL where anything is not as it was when the body was checked, and nothing is written then.
SUBMIT = f"""
CREATE OR REPLACE FUNCTION checking_submit(p_claim bigint, p_user bigint, p jsonb) RETURNS json LANGUAGE plpgsql {PLANS} AS $$
DECLARE
  v_now timestamptz := statement_timestamp();
  v_clip record;
  v_claim record;
  v_draft record;
  v_annotation bigint;
  v_record bigint;
  v_revision bigint;
  v_review record;
  v_complete boolean;
  v_answer jsonb;
BEGIN
  IF p->>'key' IS NOT NULL THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('idempotency ' || p_user || ' ' || (p->>'key'), 0));
    IF EXISTS (SELECT 1 FROM core_idempotentrequest WHERE user_id = p_user AND key = p->>'key') THEN
      RETURN NULL;
    END IF;
  END IF;
  SELECT clip.id, clip.corpus_id, clip.name, clip.priority INTO v_clip FROM clips_clip clip
  WHERE clip.id = (p->>'clip')::bigint AND clip.withdrawn_at IS NULL
    AND clip.updated_at = (p->>'clip_updated')::timestamptz
  FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  SELECT claim.id, claim.slot_id INTO v_claim
  FROM checking_claim claim JOIN checking_slot slot ON slot.id = claim.slot_id
  WHERE claim.id = p_claim AND claim.user_id + 0 = p_user AND claim.state IN ('live', 'returned')
    AND slot.kind = 'annotate' AND claim.offered = p->'offered'
  FOR UPDATE OF claim, slot;
  IF NOT FOUND THEN RETURN NULL; END IF;

  v_complete := NOT EXISTS (SELECT 1 FROM checking_slot other WHERE other.clip_id = v_clip.id
    AND other.kind = 'annotate' AND other.state IN ('open', 'claimed') AND other.id <> v_claim.slot_id);
  IF v_complete AND p->>'then' = 'ask' THEN RETURN NULL; END IF;

  INSERT INTO checking_annotation (claim_id, clip_id, user_id, revision, description_zh, description_en, ov_zh, ov_en,
    label, ov_scores, display, conflict, translation, reply, work, active_seconds, played_share, submitted_at)
  SELECT p_claim, v_clip.id, p_user, COALESCE((SELECT max(revision) FROM checking_annotation
      WHERE claim_id = p_claim), 0) + 1, said.description_zh, said.description_en, said.ov_zh, said.ov_en, said.label,
    said.ov_scores, NULLIF(said.display, 'null'), NULLIF(said.conflict, 'null'), said.translation, said.reply,
    said.work, said.active_seconds, said.played_share, v_now
  FROM jsonb_to_record(p->'annotation') said (description_zh text, description_en text, ov_zh jsonb, ov_en jsonb,
    label text, ov_scores jsonb, display jsonb, conflict jsonb, translation jsonb, reply text, work jsonb,
    active_seconds double precision, played_share double precision)
  RETURNING id INTO v_annotation;
  INSERT INTO checking_check (annotation_id, clue_id, "position", verdict, modality, aspect, language, text,
    span_start, span_end, reason, active_seconds, played)
  SELECT v_annotation, item.clue_id, item.place, item.verdict, item.modality, item.aspect, item.language, item.text,
    item.span_start, item.span_end, item.reason, item.active_seconds, item.played
  FROM jsonb_to_recordset(p->'checks') item (clue_id bigint, place smallint, verdict text, modality text, aspect text,
    language text, text text, span_start double precision, span_end double precision, reason text,
    active_seconds double precision, played boolean);

  SELECT draft.version, draft.body INTO v_draft FROM checking_draft draft
  WHERE draft.claim_id = p_claim ORDER BY draft.version DESC LIMIT 1;
  IF v_draft.version IS NULL OR v_draft.body - 'work' <> p->'body' THEN
    INSERT INTO checking_draft (claim_id, version, body, saved_at)
    VALUES (p_claim, COALESCE(v_draft.version, 0) + 1, p->'body', v_now);
  END IF;
  UPDATE checking_claim SET state = 'submitted', updated_at = v_now WHERE id = p_claim;
  UPDATE checking_slot SET state = 'done' WHERE id = v_claim.slot_id;
  INSERT INTO core_auditentry (at, actor_id, actor_name, action, corpus, target, request_id, detail)
  VALUES (v_now, p_user, p->>'name', 'claim.submit', p->>'corpus', 'claim ' || p_claim, p->>'request',
    jsonb_build_object('clip', v_clip.name, 'annotation', v_annotation));

  IF v_complete AND p->>'then' = 'review' THEN
    SELECT slot.id, slot.state INTO v_review FROM checking_slot slot
    WHERE slot.clip_id = v_clip.id AND slot.kind = 'review' AND slot.number = 1;
    IF v_review.id IS NULL THEN
      INSERT INTO checking_slot (corpus_id, clip_id, kind, number, state, priority)
      VALUES (v_clip.corpus_id, v_clip.id, 'review', 1, 'open', v_clip.priority);
    ELSIF v_review.state = 'done' THEN
      UPDATE checking_claim SET state = 'reopened' WHERE slot_id = v_review.id AND state = 'submitted';
      UPDATE checking_slot SET state = 'open' WHERE id = v_review.id;
    END IF;
  ELSIF v_complete AND p->>'then' = 'record' THEN
    INSERT INTO checking_record (corpus_id, clip_id, grade, created_at)
    VALUES (v_clip.corpus_id, v_clip.id, 'fine', v_now) ON CONFLICT (clip_id, grade) DO NOTHING;
    SELECT record.id INTO v_record FROM checking_record record
    WHERE record.clip_id = v_clip.id AND record.grade = 'fine' FOR UPDATE;
    INSERT INTO checking_recordrevision (record_id, number, line, sha256, source, source_detail, annotation_id,
      provenance, created_by_id, created_at)
    SELECT v_record, COALESCE(max(number), 0) + 1, p->'record'->>'line', p->'record'->>'sha256', 'submission', '',
      v_annotation, p->'record'->'provenance', p_user, v_now
    FROM checking_recordrevision WHERE record_id = v_record
    RETURNING id INTO v_revision;
    UPDATE checking_record SET current_id = v_revision WHERE id = v_record;
  END IF;

  v_answer := jsonb_build_object('annotation', v_annotation, 'record', v_record,
    'state', CASE WHEN v_record IS NULL THEN 'submitted' ELSE 'recorded' END);
  IF p->>'key' IS NOT NULL THEN
    INSERT INTO core_idempotentrequest (user_id, key, route, body_sha256, status, answer, created_at)
    VALUES (p_user, p->>'key', p->>'route', p->>'sha256', 201, v_answer, v_now);
  END IF;
  RETURN v_answer;
END $$;
"""

# The next version of a draft, and the lease of a live claim anew. NULL: not an ordinary save; {{"stale": version}}.
SAVE_DRAFT = f"""
CREATE OR REPLACE FUNCTION checking_save_draft(
  p_claim bigint, p_user bigint, p_body jsonb, p_named text[], p_roles jsonb, p_lease double precision
) RETURNS json LANGUAGE plpgsql {PLANS} AS $$
DECLARE
  v_now timestamptz := statement_timestamp();
  v_claim record;
  v_draft record;
  v_version integer;
BEGIN
  SELECT claim.id, claim.state, claim.corpus_id, claim.lease_end, slot.kind INTO v_claim
  FROM checking_claim claim JOIN checking_slot slot ON slot.id = claim.slot_id
    JOIN clips_clip clip ON clip.id = claim.clip_id
  WHERE claim.id = p_claim AND claim.user_id + 0 = p_user AND clip.withdrawn_at IS NULL
    AND claim.state IN ('live', 'expired', 'lost', 'returned', 'reopened')
  FOR UPDATE OF claim;
  IF NOT FOUND OR NOT EXISTS (SELECT 1 FROM clips_membership member WHERE member.user_id = p_user
      AND member.corpus_id = v_claim.corpus_id AND p_roles->v_claim.kind ? member.role) THEN
    RETURN NULL;
  END IF;
  SELECT draft.version, draft.body, draft.saved_at INTO v_draft FROM checking_draft draft
  WHERE draft.claim_id = p_claim ORDER BY draft.version DESC LIMIT 1;
  v_version := COALESCE(v_draft.version, 0);
  IF NOT ('"' || v_version || '"' = ANY(p_named) OR (p_named = ARRAY['*'] AND v_version > 0)) THEN
    RETURN json_build_object('stale', v_version);
  END IF;
  IF v_claim.state = 'live' THEN
    v_claim.lease_end := v_now + p_lease * interval '1 second';
    UPDATE checking_claim SET lease_end = v_claim.lease_end, updated_at = v_now WHERE id = p_claim;
  END IF;
  IF v_version = 0 OR v_draft.body - 'work' <> p_body - 'work' THEN
    v_version := v_version + 1;
    v_draft.saved_at := v_now;
    INSERT INTO checking_draft (claim_id, version, body, saved_at) VALUES (p_claim, v_version, p_body, v_now);
  END IF;
  RETURN json_build_object('version', v_version, 'saved_at', v_draft.saved_at,
    'lease_end', CASE WHEN v_claim.state = 'live' THEN v_claim.lease_end END);
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("checking", "0007_quality_reports")]

    operations = [
        migrations.RunSQL(PICK + CLAIM_NEXT + FACTS + SUBMISSION + SUBMIT + SAVE_DRAFT, migrations.RunSQL.noop)
    ]

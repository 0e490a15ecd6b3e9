"""Drafts and submissions in the database: one call reads what a body is checked against, one writes all that follows.

docs/checking.md says what they do; of their plans see 0008_claiming.
"""

from django.db import migrations

PLANS = """SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET enable_presorted_aggregate = off SET plan_cache_mode = force_generic_plan"""

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
    -- Named before it is there, which the deferred foreign key allows: the record is written once.
    v_revision := nextval(pg_get_serial_sequence('checking_recordrevision', 'id'));
    INSERT INTO checking_record (corpus_id, clip_id, grade, current_id, created_at)
    VALUES (v_clip.corpus_id, v_clip.id, 'fine', v_revision, v_now) ON CONFLICT (clip_id, grade) DO NOTHING
    RETURNING id INTO v_record;
    IF v_record IS NULL THEN
      UPDATE checking_record SET current_id = v_revision WHERE clip_id = v_clip.id AND grade = 'fine'
      RETURNING id INTO v_record;
    END IF;
    INSERT INTO checking_recordrevision (id, record_id, number, line, sha256, source, source_detail, annotation_id,
      provenance, created_by_id, created_at)
    OVERRIDING SYSTEM VALUE
    SELECT v_revision, v_record, COALESCE(max(number), 0) + 1, p->'record'->>'line', p->'record'->>'sha256',
      'submission', '', v_annotation, p->'record'->'provenance', p_user, v_now
    FROM checking_recordrevision WHERE record_id = v_record;
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

DROP = """
DROP FUNCTION checking_save_draft; DROP FUNCTION checking_submit; DROP FUNCTION checking_submission;
"""


class Migration(migrations.Migration):
    dependencies = [("checking", "0010_lean_indexes")]

    operations = [migrations.RunSQL(SUBMISSION + SUBMIT + SAVE_DRAFT, DROP)]

"""Each claim and submission writes less: no index of a foreign key's own where another one begins with it, and a new
record is written once, not twice."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

PLANS = """SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
  SET enable_presorted_aggregate = off SET plan_cache_mode = force_generic_plan"""

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


class Migration(migrations.Migration):
    dependencies = [
        ("checking", "0009_planted_gate"),
        ("clips", "0006_clip_source"),
        ("prelabels", "0009_ready_without_joins"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="annotation",
            name="claim",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="annotations",
                to="checking.claim",
            ),
        ),
        migrations.AlterField(
            model_name="annotation",
            name="clip",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="annotations", to="clips.clip"
            ),
        ),
        migrations.AlterField(
            model_name="check",
            name="annotation",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="checks",
                to="checking.annotation",
            ),
        ),
        migrations.AlterField(
            model_name="claim",
            name="planted",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="claims",
                to="checking.plantederror",
            ),
        ),
        migrations.AlterField(
            model_name="claim",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="claims",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="draft",
            name="claim",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="drafts", to="checking.claim"
            ),
        ),
        migrations.AlterField(
            model_name="record",
            name="clip",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="records", to="clips.clip"
            ),
        ),
        migrations.AlterField(
            model_name="record",
            name="corpus",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="records", to="clips.corpus"
            ),
        ),
        migrations.AlterField(
            model_name="recordrevision",
            name="draft",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="prelabels.descriptiondraft",
            ),
        ),
        migrations.AlterField(
            model_name="recordrevision",
            name="record",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="revisions",
                to="checking.record",
            ),
        ),
        migrations.AlterField(
            model_name="recordrevision",
            name="review",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="checking.review",
            ),
        ),
        migrations.AlterField(
            model_name="slot",
            name="clip",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="slots", to="clips.clip"
            ),
        ),
        migrations.AddIndex(
            model_name="claim",
            index=models.Index(
                condition=models.Q(("planted__isnull", False)), fields=["planted"], name="claim_planted"
            ),
        ),
        migrations.RunSQL(SUBMIT, migrations.RunSQL.noop),
    ]

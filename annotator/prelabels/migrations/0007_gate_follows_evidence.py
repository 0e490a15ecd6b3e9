"""A clue's verdicts are taken back when what it was held against comes, changes or goes; the scheduler judges it anew.

Triggers, because tracks, measures and subtitles are written in several places, some of them in bulk. They touch every
current clue of the clip, also those that have no verdict: a worker that judges one holds its lock, so that the trigger
waits for the verdict and takes it back.
"""

from django.db import migrations, models

WATCHED = ("clips_autrack", "clips_subtitle", "prelabels_prosodymeasures")

FUNCTION = """
CREATE FUNCTION prelabels_evidence_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NEW IS NOT DISTINCT FROM OLD THEN
    RETURN NULL;
  END IF;
  UPDATE prelabels_clue SET gate_version = ''
    WHERE clip_id = CASE WHEN TG_OP = 'DELETE' THEN OLD.clip_id ELSE NEW.clip_id END
      AND superseded_at IS NULL AND codes IS NULL;
  RETURN NULL;
END $$;
"""
TRIGGERS = "".join(
    f"CREATE TRIGGER prelabels_evidence_changed AFTER INSERT OR UPDATE OR DELETE ON {table}"
    " FOR EACH ROW EXECUTE FUNCTION prelabels_evidence_changed();\n"
    for table in WATCHED
)
BACKWARD = "".join(f"DROP TRIGGER IF EXISTS prelabels_evidence_changed ON {table};\n" for table in WATCHED)


class Migration(migrations.Migration):
    dependencies = [("clips", "0002_withdrawn_index"), ("prelabels", "0006_shifts")]
    operations = [
        migrations.AddIndex(
            model_name="clue",
            index=models.Index(
                fields=["id"], name="clue_unjudged", condition=models.Q(superseded_at=None, gate_version="")
            ),
        ),
        migrations.RunSQL(FUNCTION + TRIGGERS, BACKWARD + "DROP FUNCTION IF EXISTS prelabels_evidence_changed();"),
    ]

"""Whose face a clip is about decides what its clues are held against: verdicts are taken back when that changes.

What a rule decides for the first time changes nothing that was known, so a row of `TargetPerson` counts where somebody
said it; a new rule counts for the clips in which several people are seen.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION prelabels_person_rule_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE prelabels_clue SET gate_version = ''
    WHERE superseded_at IS NULL AND codes IS NULL AND clip_id IN (
      SELECT person.clip_id FROM clips_seenperson person JOIN clips_clip clip ON clip.id = person.clip_id
      WHERE clip.corpus_id = NEW.id GROUP BY person.clip_id HAVING count(*) > 1);
  RETURN NULL;
END $$;
CREATE TRIGGER prelabels_evidence_changed AFTER INSERT OR UPDATE OR DELETE ON clips_seenperson
  FOR EACH ROW EXECUTE FUNCTION prelabels_evidence_changed();
CREATE TRIGGER prelabels_person_said AFTER INSERT OR UPDATE ON clips_targetperson
  FOR EACH ROW WHEN (NEW.rule = '') EXECUTE FUNCTION prelabels_evidence_changed();
CREATE TRIGGER prelabels_person_taken_back AFTER DELETE ON clips_targetperson
  FOR EACH ROW WHEN (OLD.rule = '') EXECUTE FUNCTION prelabels_evidence_changed();
CREATE TRIGGER prelabels_person_rule_changed AFTER UPDATE OF person_rule ON clips_corpus
  FOR EACH ROW WHEN (NEW.person_rule IS DISTINCT FROM OLD.person_rule)
  EXECUTE FUNCTION prelabels_person_rule_changed();
"""
BACKWARD = """
DROP TRIGGER IF EXISTS prelabels_evidence_changed ON clips_seenperson;
DROP TRIGGER IF EXISTS prelabels_person_said ON clips_targetperson;
DROP TRIGGER IF EXISTS prelabels_person_taken_back ON clips_targetperson;
DROP TRIGGER IF EXISTS prelabels_person_rule_changed ON clips_corpus;
DROP FUNCTION IF EXISTS prelabels_person_rule_changed();
"""


class Migration(migrations.Migration):
    dependencies = [("clips", "0003_people"), ("prelabels", "0007_gate_follows_evidence")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]

"""Triggers on the table of jobs: `ready` and the tallies follow every change, whoever makes it.

`ready`: after a statement that opened or ended jobs, the queued jobs that come after these (and those that were queued
again) are locked in the order of their ids and judged anew, so that of two that end at once the later one sees both.
Tallies: each statement adds what it changed, as rows of their own.
"""

from django.db import migrations

JOB, TALLY = "prelabels_job", "prelabels_runtally"
SUMS = ("calls", "losses", "prompt_tokens", "completion_tokens", "seconds", "gpu_seconds", "cost")
COLUMNS = "run_id, step, state, error_code, n, cached, " + ", ".join(SUMS)
OPEN = "IN ('queued', 'running')"


def signed(table: str, sign: str) -> str:
    sums = ", ".join(f"{sign}sum({name})" for name in SUMS)
    return (
        f"SELECT run_id, step, state, error_code, {sign}count(*), {sign}count(*) FILTER (WHERE cached), {sums}"
        f" FROM {table} GROUP BY run_id, step, state, error_code"
    )


FORWARD = f"""
CREATE FUNCTION prelabels_tally_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO {TALLY} ({COLUMNS}) {signed("added", "")};
  RETURN NULL;
END $$;

CREATE FUNCTION prelabels_tally_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO {TALLY} ({COLUMNS}) {signed("removed", "-")};
  RETURN NULL;
END $$;

CREATE FUNCTION prelabels_job_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  affected bigint[];
BEGIN
  INSERT INTO {TALLY} ({COLUMNS})
    SELECT run_id, step, state, error_code, sum(n), sum(cached), {", ".join(f"sum({name})" for name in SUMS)}
    FROM ({signed("now", "")} UNION ALL {signed("was", "-")}) AS change({COLUMNS})
    GROUP BY run_id, step, state, error_code
    HAVING sum(n) <> 0 OR sum(cached) <> 0 OR {" OR ".join(f"sum({name}) <> 0" for name in SUMS)};

  SELECT array_agg(DISTINCT waiting.id) INTO affected
    FROM now JOIN was ON was.id = now.id AND (was.state {OPEN}) <> (now.state {OPEN})
    JOIN {JOB} waiting ON waiting.run_id = now.run_id AND waiting.clip_id = now.clip_id
      AND waiting.state = 'queued' AND (now.step = ANY(waiting.after) OR waiting.id = now.id);
  IF affected IS NOT NULL THEN
    PERFORM 1 FROM {JOB} WHERE id = ANY(affected) ORDER BY id FOR NO KEY UPDATE;
    UPDATE {JOB} waiting SET ready = judged.ready
      FROM (SELECT job.id, NOT EXISTS (
              SELECT 1 FROM {JOB} before WHERE before.run_id = job.run_id AND before.clip_id = job.clip_id
                AND before.state {OPEN} AND before.step = ANY(job.after)) AS ready
            FROM {JOB} job WHERE job.id = ANY(affected)) judged
      WHERE waiting.id = judged.id AND waiting.state = 'queued' AND waiting.ready <> judged.ready;
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER prelabels_job_added AFTER INSERT ON {JOB} REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION prelabels_tally_added();
CREATE TRIGGER prelabels_job_removed AFTER DELETE ON {JOB} REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION prelabels_tally_removed();
CREATE TRIGGER prelabels_job_changed AFTER UPDATE ON {JOB} REFERENCING OLD TABLE AS was NEW TABLE AS now
  FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION prelabels_job_changed();

-- What is there already.
INSERT INTO {TALLY} ({COLUMNS}) {signed(JOB, "")};
UPDATE {JOB} job SET ready = NOT EXISTS (
  SELECT 1 FROM {JOB} before WHERE before.run_id = job.run_id AND before.clip_id = job.clip_id
    AND before.state {OPEN} AND before.step = ANY(job.after)) WHERE job.state = 'queued';
UPDATE prelabels_run SET planned_at = created_at WHERE planned_at IS NULL;
"""

BACKWARD = f"""
DROP TRIGGER IF EXISTS prelabels_job_added ON {JOB};
DROP TRIGGER IF EXISTS prelabels_job_removed ON {JOB};
DROP TRIGGER IF EXISTS prelabels_job_changed ON {JOB};
DROP FUNCTION IF EXISTS prelabels_tally_added(), prelabels_tally_removed(), prelabels_job_changed();
"""


class Migration(migrations.Migration):
    dependencies = [("prelabels", "0003_size_and_gate")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]

"""The trigger that keeps `ready` judges nothing that a cancelled run leaves behind, and is as quick for many rows.

Its plan is kept for the session and may have been made for a statement that changed one row: it joined what was and what
is row by row, so a later statement over thousands took their square. Both are grouped by id instead.
"""

from importlib import import_module

from django.db import migrations

_first = import_module("annotator.prelabels.migrations.0004_jobs_keep_count")
JOB, OPEN, RUN = _first.JOB, _first.OPEN, "prelabels_run"

BEFORE = f"""
  SELECT array_agg(DISTINCT waiting.id) INTO affected
    FROM now JOIN was ON was.id = now.id AND (was.state {OPEN}) <> (now.state {OPEN})
    JOIN {JOB} waiting ON waiting.run_id = now.run_id AND waiting.clip_id = now.clip_id
      AND waiting.state = 'queued' AND (now.step = ANY(waiting.after) OR waiting.id = now.id);
"""
AFTER = f"""
  SELECT array_agg(run.id) INTO gone FROM {RUN} run
    WHERE run.state = 'cancelled' AND run.id IN (SELECT now.run_id FROM now WHERE now.state = 'cancelled');
  SELECT array_agg(DISTINCT waiting.id) INTO affected
    FROM (SELECT id, max(run_id) AS run_id, max(clip_id) AS clip_id, max(step) FILTER (WHERE is_now) AS step
          FROM (SELECT id, run_id, clip_id, step, state, true AS is_now FROM now
                UNION ALL SELECT id, run_id, clip_id, step, state, false FROM was) change
          GROUP BY id HAVING bool_or(state {OPEN}) <> bool_and(state {OPEN})
            AND NOT (bool_or(is_now AND state = 'cancelled') AND max(run_id) = ANY(COALESCE(gone, '{{}}')))) turned
    JOIN {JOB} waiting ON waiting.run_id = turned.run_id AND waiting.clip_id = turned.clip_id
      AND waiting.state = 'queued' AND (turned.step = ANY(waiting.after) OR waiting.id = turned.id);
"""


def function(declared: str, turned: str) -> str:
    """The trigger's function of the first migration with another part that finds what is to be judged."""
    whole = _first.FORWARD[_first.FORWARD.index("CREATE FUNCTION prelabels_job_changed()") :]
    whole = whole[: whole.index("END $$;")] + "END $$;"
    whole = whole.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
    return whole.replace("  affected bigint[];\n", declared).replace(BEFORE.strip(), turned.strip())


class Migration(migrations.Migration):
    dependencies = [("prelabels", "0008_gate_follows_the_person")]
    operations = [
        migrations.RunSQL(
            function("  affected bigint[];\n  gone bigint[];\n", AFTER), function("  affected bigint[];\n", BEFORE)
        )
    ]

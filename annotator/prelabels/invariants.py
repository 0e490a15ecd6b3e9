"""What must hold between runs, jobs and their tallies, as SQL that finds what breaks it."""

from annotator.core import invariants

# (promise, name, query). A query gives (object, detail) of what is broken.
QUERIES: list[tuple[str, str, str]] = [
    (
        "once",
        "a run that has ended has no open jobs",
        """SELECT 'run ' || run.id, 'is ' || run.state || ' with ' || count(*) || ' open jobs'
           FROM prelabels_run run JOIN prelabels_job job ON job.run_id = run.id AND job.state IN ('queued', 'running')
           WHERE run.finished_at IS NOT NULL GROUP BY run.id, run.state""",
    ),
    (
        "once",
        "a run is at its end exactly when its state says so",
        """SELECT 'run ' || id, 'is ' || state || ', its end is ' || COALESCE(finished_at::text, 'open')
           FROM prelabels_run WHERE (finished_at IS NULL AND state IN ('done', 'failed'))
              OR (finished_at IS NOT NULL AND state IN ('queued', 'running', 'paused'))""",
    ),
    (
        "kept",
        "a job that nothing keeps waiting is ready",
        """SELECT 'job ' || job.id, job.step || ' waits for nobody' FROM prelabels_job job
           JOIN prelabels_run run ON run.id = job.run_id AND run.state <> 'cancelled'
           WHERE job.state = 'queued' AND NOT job.ready AND NOT EXISTS (
             SELECT 1 FROM prelabels_job before WHERE before.run_id = job.run_id AND before.clip_id = job.clip_id
             AND before.state IN ('queued', 'running') AND before.step = ANY(job.after))""",
    ),
    (
        "once",
        "the tallies of a run are the sums over its jobs",
        """SELECT 'run ' || COALESCE(counted.run_id, told.run_id),
                  COALESCE(counted.step, told.step) || ' ' || COALESCE(counted.state, told.state) || ': '
                  || COALESCE(counted.n, 0) || ' jobs with ' || COALESCE(counted.calls, 0) || ' calls, told are '
                  || COALESCE(told.n, 0) || ' with ' || COALESCE(told.calls, 0)
           FROM (SELECT run_id, step, state, error_code, count(*) AS n, sum(calls) AS calls, sum(losses) AS losses,
                        sum(prompt_tokens + completion_tokens) AS tokens
                 FROM prelabels_job GROUP BY run_id, step, state, error_code) counted
           FULL JOIN (SELECT run_id, step, state, error_code, sum(n) AS n, sum(calls) AS calls, sum(losses) AS losses,
                             sum(prompt_tokens + completion_tokens) AS tokens
                      FROM prelabels_runtally GROUP BY run_id, step, state, error_code) told
             USING (run_id, step, state, error_code)
           WHERE (COALESCE(counted.n, 0), COALESCE(counted.calls, 0), COALESCE(counted.losses, 0),
                  COALESCE(counted.tokens, 0))
              <> (COALESCE(told.n, 0), COALESCE(told.calls, 0), COALESCE(told.losses, 0), COALESCE(told.tokens, 0))""",
    ),
]


def register() -> None:
    """Add this room's checks to the list; called when the app is ready."""
    for promise, name, query in QUERIES:
        invariants.register_sql(promise, name, query)

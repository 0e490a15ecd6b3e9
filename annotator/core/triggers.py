"""PostgreSQL triggers as migration operations: what is append-only or immutable is so for everybody.

TRUNCATE is refused too, except by a session that sets `workbench.allow_truncate` (the test runner's flush).
"""

from django.db import migrations

_FUNCTION = """
CREATE OR REPLACE FUNCTION workbench_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    IF current_setting('workbench.allow_truncate', true) = 'on' THEN RETURN NULL; END IF;
    RAISE EXCEPTION '% is append-only: TRUNCATE is refused', TG_TABLE_NAME
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""


def function() -> migrations.RunSQL:
    """The shared trigger function; first operation of the core app's trigger migration."""
    return migrations.RunSQL(_FUNCTION, "DROP FUNCTION IF EXISTS workbench_refuse_change() CASCADE")


def append_only(table: str, *, allow_update: bool = False, allow_delete: bool = False) -> migrations.RunSQL:
    """Refuse UPDATE, DELETE and TRUNCATE on `table`."""
    events = " OR ".join(e for e, off in (("UPDATE", allow_update), ("DELETE", allow_delete)) if not off)
    return migrations.RunSQL(
        f"""
        CREATE TRIGGER {table}_frozen BEFORE {events} ON {table}
          FOR EACH ROW EXECUTE FUNCTION workbench_refuse_change();
        CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
          FOR EACH STATEMENT EXECUTE FUNCTION workbench_refuse_change();
        """,
        f"DROP TRIGGER IF EXISTS {table}_frozen ON {table}; DROP TRIGGER IF EXISTS {table}_no_truncate ON {table};",
    )

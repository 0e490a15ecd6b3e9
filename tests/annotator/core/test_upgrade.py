"""A database that an earlier workbench made goes on with this one."""

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder


@pytest.mark.django_db
def test_the_queue_of_before_its_functions_stood_once() -> None:
    recorder = MigrationRecorder(connection)
    for name in ("0008_claiming", "0011_handing_in"):
        recorder.record_unapplied("checking", name)
    for name in ("0008_queue_plans", "0011_claim_here"):
        recorder.migration_qs.filter(app="checking", name=name).delete()
        recorder.record_applied("checking", name)
    call_command("migrate", verbosity=0)
    executor = MigrationExecutor(connection)
    assert executor.migration_plan(executor.loader.graph.leaf_nodes()) == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_proc WHERE proname IN ('checking_claim_here', 'checking_submit')")
        assert cursor.fetchone() == (2,)

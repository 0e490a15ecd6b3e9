"""Runs of a workbench of before runs were launched by attempts go on with this one."""

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from annotator.experiments.models import TrainingRun


@pytest.mark.django_db(transaction=True)
def test_runs_of_before_know_whether_they_were_launched() -> None:
    call_command("migrate", "experiments", "0001", verbosity=0)
    try:
        with connection.cursor() as cursor:
            for name, lease in (("done", None), ("queued", None), ("running", timezone.now())):
                cursor.execute(
                    "INSERT INTO experiments_trainingrun (snapshot_digest, name, config, overrides, folder, state,"
                    " reason, cancel_requested, created_at, lease_end)"
                    " VALUES ('', %s, 'tiny', '{}', %s, %s, '', false, now(), %s)",
                    [name, name, name, lease],
                )
    finally:
        call_command("migrate", verbosity=0)
    found = TrainingRun.objects.order_by("name").values_list("name", "state", "launched", "attempts")
    assert list(found) == [("done", "done", False, 0), ("queued", "queued", True, 0), ("running", "running", True, 0)]

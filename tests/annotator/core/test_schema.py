"""The OpenAPI document in docs/ is the one that the code gives: a changed interface shows in review."""

from pathlib import Path

from django.core.management import call_command
from django.utils import translation

STORED = Path(__file__).resolve().parents[3] / "docs" / "openapi.yaml"


def test_the_stored_document_is_current(tmp_path: Path) -> None:
    fresh = tmp_path / "openapi.yaml"
    with translation.override("en"):
        call_command("spectacular", "--file", str(fresh), "--validate", "--fail-on-warn")
    assert fresh.read_text() == STORED.read_text(), "run `manage.py spectacular --file docs/openapi.yaml`"

"""The table role x action is one, is printed in docs/roles.md, and refuses what it does not know."""

from pathlib import Path

import pytest

from annotator.core.permissions import ACTIONS, ROLES, actions_of, allowed, as_markdown

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_printed_table_is_the_table_in_force() -> None:
    assert as_markdown() in (REPOSITORY / "docs" / "roles.md").read_text(encoding="utf-8")


def test_an_admin_may_everything_and_a_stranger_nothing() -> None:
    assert all(allowed({"admin"}, action) for action in ACTIONS)
    assert not any(allowed(set(), action) for action in ACTIONS)


def test_roles_add_up() -> None:
    both = set(actions_of({"annotator", "reviewer"}))
    assert both == set(actions_of({"annotator"})) | set(actions_of({"reviewer"}))
    assert "claim.annotate" not in actions_of({"reviewer"})


def test_an_unknown_action_is_a_bug_not_a_no() -> None:
    with pytest.raises(KeyError):
        allowed({"manager"}, "clip.destroy")


def test_every_role_may_at_least_see_its_corpus() -> None:
    assert all(allowed({role}, "corpus.view") for role in ROLES)

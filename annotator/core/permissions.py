"""The one table role x action. Pages, API and commands ask it; docs/roles.md is printed from it.

Roles are strings here; who holds which role on which corpus is `clips.Membership`. `admin` is a Django
superuser and may do everything. A person may hold several roles on a corpus: their rights add up.
"""

from collections.abc import Iterable

ROLES = ("viewer", "annotator", "reviewer", "manager")

# action: (who may, what it is)
ACTIONS: dict[str, tuple[frozenset[str], str]] = {
    "corpus.view": (frozenset(ROLES), "see the corpus, its progress and its guideline"),
    "clip.view": (frozenset({"viewer", "reviewer", "manager"}), "browse clips and play their media"),
    "clip.ingest": (frozenset({"manager"}), "add clips, subtitles and AU tracks"),
    "clip.flag": (frozenset({"annotator", "reviewer", "manager"}), "flag a clip"),
    "person.choose": (
        frozenset({"reviewer", "manager"}),
        "say whom a clip is about where several people are seen (an annotator: of a clip held)",
    ),
    "clip.withdraw": (frozenset({"manager"}), "withdraw a clip for good"),
    "run.view": (frozenset({"viewer", "reviewer", "manager"}), "see pre-labelling runs and their jobs"),
    "run.start": (frozenset({"manager"}), "start, pause, resume, cancel and retry pre-labelling runs"),
    "pipeline.view": (frozenset({"viewer", "reviewer", "manager"}), "see pipelines and their versions"),
    "pipeline.define": (frozenset({"manager"}), "write pipelines of one's own (on any corpus)"),
    "claim.annotate": (frozenset({"annotator"}), "claim clips and check their clues"),
    "claim.review": (frozenset({"reviewer"}), "claim submitted clips and decide over them"),
    "gate.view": (frozenset({"reviewer", "manager"}), "compare the evidence gate with what people decide"),
    "claim.manage": (frozenset({"manager"}), "see who holds what and release it; read orphaned drafts"),
    "rules.edit": (frozenset({"manager"}), "set how a corpus is checked: order, terms, gold, anchoring, rates"),
    "gold.manage": (frozenset({"reviewer", "manager"}), "say which records are gold clips and examples"),
    "comment.write": (frozenset({"annotator", "reviewer", "manager"}), "take part in the thread of a clip"),
    "quality.view": (frozenset({"reviewer", "manager"}), "see agreement, and how pre-labels fare"),
    "people.view": (frozenset({"manager"}), "see dashboards, costs, and the private figures of each annotator"),
    "record.view": (frozenset({"viewer", "reviewer", "manager"}), "read records and their provenance"),
    "record.export": (frozenset({"manager"}), "export records"),
    "snapshot.view": (frozenset({"viewer", "reviewer", "manager"}), "read and download snapshots"),
    "snapshot.freeze": (frozenset({"manager"}), "freeze a snapshot"),
    "training.view": (frozenset({"viewer", "reviewer", "manager"}), "see experiments"),
    "training.start": (frozenset({"manager"}), "launch, cancel and resume training"),
    "checkpoint.promote": (frozenset({"manager"}), "make a checkpoint a pre-labeller (for runs of all corpora)"),
    "member.manage": (frozenset({"manager"}), "add people to the corpus"),
    "corpus.create": (frozenset(), "create a corpus (admin)"),
}


def allowed(roles: Iterable[str], action: str) -> bool:
    """Whether one of `roles` may do `action`. `admin` may do everything; an unknown action is a KeyError."""
    may, _what = ACTIONS[action]
    held = set(roles)
    return "admin" in held or bool(may & held)


def actions_of(roles: Iterable[str]) -> list[str]:
    """Every action that one of `roles` allows, in the table's order."""
    held = set(roles)
    return [action for action in ACTIONS if allowed(held, action)]


def as_markdown() -> str:
    """The table as printed in docs/roles.md."""
    head = "| action | what | " + " | ".join([*ROLES, "admin"]) + " |"
    rule = "|---|---|" + "---|" * (len(ROLES) + 1)
    rows = [
        f"| `{action}` | {what} | " + " | ".join("yes" if role in may else "" for role in ROLES) + " | yes |"
        for action, (may, what) in ACTIONS.items()
    ]
    return "\n".join([head, rule, *rows]) + "\n"

"""The paper's figures on its 66 test clips (arXiv 2407.07653, tables 4 and 8), for reference beside our own."""

from dataclasses import dataclass
from functools import cache

from models_ml import registry

SUBSET = "emer-fine-test-66"
SOURCE = "arXiv 2407.07653"
CLIPS = 66


@dataclass(frozen=True)
class PaperRow:
    """One model of the paper, English labels. Figures from 0 to 1; no intervals were published."""

    table: str
    model: str
    media: str
    accuracy: float
    recall: float
    avg: float
    route: str

    @property
    def name(self) -> str:
        """`AffectGPT, init=random, stage1=50-epoch, stage2=best`."""
        return self.model.replace("|", ", ")


@cache
def rows() -> tuple[PaperRow, ...]:
    """Table 4 (AffectGPT: one-step), then the baselines of table 8 (two-step), in the paper's order."""
    found: list[PaperRow] = []
    for table in ("4", "8"):
        for (model, _video, _audio), scores in registry.table().items():
            figures = {
                one.metric: one.mean / 100
                for one in scores
                if (one.table, one.subset, one.language) == (table, SUBSET, "english")
            }
            if len(figures) == 3:
                media = next(one.media for one in scores if one.table == table)
                route = "one-step" if table == "4" else "two-step"
                found.append(
                    PaperRow(table, model, media, figures["accuracy_s"], figures["recall_s"], figures["avg"], route)
                )
    return tuple(found)

"""How the work on a job ended, before anything of it is written."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

from models_ml.llm import Endpoint
from models_ml.llm.traffic import Spent
from models_ml.steps import StepResult

if TYPE_CHECKING:
    from models_ml.mllm.local import LocalModel

    from .checkpoints import CheckpointModel

Model = Union[Endpoint, "LocalModel", "CheckpointModel"]  # what a step asks


@dataclass
class Outcome:
    """`state` is a job's end, or `deferred`: to be queued again after `seconds`. `spent` is what this attempt cost."""

    state: str
    reason: str = ""
    code: str = ""
    result: StepResult | None = None
    endpoint: Model | None = None
    spent: Spent = field(default_factory=Spent)
    seconds: float = 1.0
    exchange: dict[str, Any] | None = None

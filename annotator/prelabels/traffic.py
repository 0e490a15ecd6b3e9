"""A job's way to the models' servers: answers kept in the database, limits kept in Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from models_ml.llm import Endpoint
from models_ml.llm.traffic import Spent

from .models import CachedAnswer, Job


class JobTraffic:
    """See `models_ml.llm.traffic.Traffic`."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.spent = Spent()
        self._strikes = 0
        self._kept: dict[str, dict[str, Any]] = {}

    def recall(self, key: str) -> dict[str, Any] | None:
        return CachedAnswer.objects.filter(key=key).values_list("answer", flat=True).first()

    def keep(self, key: str, answer: dict[str, Any]) -> None:
        self._kept[key] = answer

    @contextmanager
    def admit(self, endpoint: Endpoint) -> Iterator[None]:
        yield

    def strike(self) -> int:
        self._strikes += 1
        return self._strikes

    def settle(self, error: BaseException | None) -> None:
        pass


def for_job(job: Job) -> JobTraffic:
    """The traffic of one attempt at a job; `models_ml.llm.traffic.using` puts it into use."""
    return JobTraffic(job)

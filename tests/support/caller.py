"""A process that asks a server under the limits of a Redis, for tests of many processes and of their sudden end.

    python -m tests.support.caller '{"redis": URL, "prefix": P, "endpoint": {…}, "threads": 4, "calls": 10}'

asks `calls` times in each thread, coming back as a worker would when a call is put off, and prints a JSON list of what
became of each: `["Sad.", "timeout", …]`. `lease` shortens the lease of a place (seconds).
"""

import json
import sys
import threading
import time
from contextlib import AbstractContextManager
from typing import Any

import redis

from models_ml.llm import Deferred, Endpoint, ModelFailure, Spent, complete, limits, transport
from models_ml.llm.traffic import using

ASK = [{"role": "user", "content": "How does the person feel?"}]


class Limited:
    """A traffic of limits alone, without a cache."""

    def __init__(self, known: limits.Limits, work: str = "work") -> None:
        self.known, self.work, self.spent = known, work, Spent()

    def recall(self, key: str) -> dict[str, Any] | None:
        return None

    def keep(self, key: str, answer: dict[str, Any]) -> None:
        """Nothing is kept."""

    def admit(self, endpoint: Endpoint) -> AbstractContextManager[None]:
        return self.known.place(endpoint)

    def strike(self) -> int:
        return self.known.strike(self.work)

    def settle(self, error: BaseException | None) -> None:
        if isinstance(error, ModelFailure):
            self.known.forgive(self.work)


def ask(known: limits.Limits, endpoint: Endpoint, work: str = "work") -> str:
    """The answer, or the code of the failure; a call that is put off is tried again when its time has come."""
    while True:
        try:
            with using(Limited(known, work)):
                return complete(endpoint, ASK).text
        except ModelFailure as failure:
            return failure.code
        except Deferred as later:
            time.sleep(later.seconds)


def main(how: dict[str, Any]) -> None:
    limits.LEASE_S = how.get("lease", limits.LEASE_S)
    known = limits.Limits(redis.Redis.from_url(how["redis"]), how["prefix"])
    endpoint = Endpoint(**how["endpoint"])
    # Reading certificates and openai's types takes longer than a call.
    transport._pool_for(endpoint.base_url), transport.create(endpoint, {"model": "m", "messages": []}, {}, lambda: None)
    found: list[str] = []

    def work(number: int) -> None:
        for call in range(how["calls"]):
            found.append(ask(known, endpoint, f"{number}-{call}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(how["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

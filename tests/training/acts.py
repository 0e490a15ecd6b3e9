"""What the tests of workers and builders run in other processes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any


def act(setup: Any, task: Any) -> Any:
    """By the task: its double, an error, a crash, no end, or a print between the results."""
    if task == "raise":
        raise ValueError("this one is bad")
    if task == "crash":
        os.abort()
    if task == "hang":
        time.sleep(600)
    if task == "print":
        print("noise on standard output", flush=True)
        return "printed"
    if task == "slow":
        time.sleep(0.3)
        return "slow"
    return (setup, task * 2)


def build(folder: str, media: str, clips: str, workers: str, seconds: str) -> None:
    """Build features of a folder's clips, slowly, and say so line by line."""
    from tests.training.test_cache import encoder_of, samples_of
    from training import shards
    from training.building import build as run
    from training.cache import open_store
    from training.config import load_config

    shards.SHARD_SECONDS = float(seconds)  # type: ignore[misc]
    config = load_config("tiny", ["data.cache=disk"])
    store = open_store(config, {"visual": "v", "audio": "a"}, folder)
    samples = samples_of(Path(media), clips.split(","))
    run(store, samples, lambda sample: {"video", "audio"}, encoder_of(0.05), int(workers),
        lambda line: print(line, flush=True))  # fmt: skip
    store.close()


if __name__ == "__main__":
    build(*sys.argv[1:])

"""The errors that end a command, each with the exit code that docs/training.md promises."""

from __future__ import annotations


class TrainingError(Exception):
    """Something went wrong while the work ran (exit 1)."""

    exit_code = 1


class UsageError(TrainingError):
    """The call, the config or the data handed in cannot be used (exit 2)."""

    exit_code = 2


class NotFinite(TrainingError):
    """The loss or a gradient became NaN or infinite; the message names step, loss, lr and clips."""


class MissingDependency(UsageError):
    """A library that this command needs is not installed."""

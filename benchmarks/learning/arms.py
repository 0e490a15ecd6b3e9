"""What is trained and evaluated: the arms, each a list of commands of ``python -m training``.

Table: the trainable part begins pre-trained (on captions of the world "elsewhere") or random; stage 1 on coarse records
lasts no, half or all epochs; stage 2 on fine records is left out or its best epoch by the validation part is taken.
Modalities: both stages with one modality alone, trained and tested so. The arm of the words has one grey, silent file
as the media of all clips, so that the trainable part is there (as a learned prompt) but has nothing to see or hear.
Shuffled: the two-stage model on test clips that were given another clip's media and subtitle, or media alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .sizes import Size

MODALITIES = {
    "face": ["data.audio=false", "data.subtitle=false"],
    "voice": ["data.video=false", "data.subtitle=false"],
    "words": [],
}
NO_STEP = ["train.epochs=1", "train.iters_per_epoch=1", "train.lr=1e-12", "train.min_lr=1e-12", "train.warmup_steps=0"]


@dataclass(frozen=True)
class Job:
    """Commands that run one after the other in one process, once the jobs that they need are done."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A figure of the tables: which run's which checkpoint, evaluated on which snapshot."""

    arm: str  # pretrained | random | face | voice | words
    stage1: int  # epochs
    stage2: bool
    seed: int
    run: str
    snapshot: str = "fine"


class Arms:
    """Jobs and cells of a size below a folder that holds `config.yaml` and `snapshots`."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder, self.size = folder, size
        self.jobs: list[Job] = []
        self.cells: list[Cell] = []

    def captions(self, seed: int) -> str:
        """Pre-training of the trainable part; the job's name."""
        name = f"seed-{seed}/captions"
        steps = [f"train.epochs={self.size.caption_epochs}", f"train.iters_per_epoch={self.size.stage1_iters}"]
        question = "prompt.question=What is seen and heard?"
        self._add(name, [self._fit(name, "captions", 1, seed, None, [*steps, question])])
        return name

    def table(self, seed: int, captions: str) -> None:
        """The twelve cells of the table for one seed."""
        half, whole = self.size.stage1_epochs // 2, self.size.stage1_epochs
        for arm, init in (("pretrained", captions), ("random", None)):
            begun = (init,) if init else ()
            none = f"seed-{seed}/{arm}/untrained"
            self._add(none, [self._fit(none, "fine", 2, seed, init, NO_STEP), self._evaluate(none, "fine")], begun)
            self.cells.append(Cell(arm, 0, False, seed, none))
            first = f"seed-{seed}/{arm}/stage1"
            commands = [self._fit(first, "coarse", 1, seed, init, [])]
            for epochs in (half, whole):
                run = self._at(first, epochs)
                commands.append(self._evaluate(run, "fine"))
                self.cells.append(Cell(arm, epochs, False, seed, run))
            if seed == self.size.seeds[0]:
                commands.append(self._curve(first))
            self._add(first, commands, begun)
            for epochs in (0, half, whole):
                name = f"seed-{seed}/{arm}/stage2-after-{epochs}"
                start = self._at(first, epochs) if epochs else init
                self._second(name, seed, start, (first,) if epochs else begun, "fine", [])
                self.cells.append(Cell(arm, epochs, True, seed, name))

    def both(self, seed: int, captions: str) -> None:
        """The two stages with all modalities: the one cell of the table that the modalities are held against."""
        whole = self.size.stage1_epochs
        first, second = f"seed-{seed}/pretrained/stage1", f"seed-{seed}/pretrained/stage2-after-{whole}"
        self._add(first, [self._fit(first, "coarse", 1, seed, captions, [])], (captions,))
        self._second(second, seed, self._at(first, whole), (first,), "fine", [])
        self.cells.append(Cell("pretrained", whole, True, seed, second))

    def curves(self) -> dict[str, list[str]]:
        """Runs of the first seed whose curves are drawn together: name -> run folders."""
        runs = self.folder / "runs" / f"seed-{self.size.seeds[0]}"
        second = [str(runs / arm / f"stage2-after-{epochs}") for arm in ("pretrained", "random")
                  for epochs in (0, self.size.stage1_epochs)]  # fmt: skip
        return {"stage1": [str(runs / arm / "stage1") for arm in ("pretrained", "random")], "stage2": second}

    def modalities(self, seed: int, captions: str) -> None:
        """Both stages with one modality alone."""
        for arm, without in MODALITIES.items():
            suffix = "-silent" if arm == "words" else ""
            first, second = (f"seed-{seed}/{arm}/stage{stage}" for stage in (1, 2))
            self._add(first, [self._fit(first, f"coarse{suffix}", 1, seed, captions, without)], (captions,))
            self._second(second, seed, first, (first,), f"fine{suffix}", without)
            self.cells.append(Cell(arm, self.size.stage1_epochs, True, seed, second, f"fine{suffix}"))

    def shuffled(self, seed: int) -> None:
        """The two-stage model with other clips' evidence."""
        whole = self.size.stage1_epochs
        run = f"seed-{seed}/pretrained/stage2-after-{whole}"
        for snapshot in ("shuffled", "swapped"):
            self._add(f"seed-{seed}/{snapshot}", [self._evaluate(run, snapshot)], (run,))
            self.cells.append(Cell("pretrained", whole, True, seed, run, snapshot))

    def _second(
        self, name: str, seed: int, init: str | None, needs: tuple[str, ...], snapshot: str, more: list[str]
    ) -> None:
        fit = self._fit(name, snapshot, 2, seed, init, more)
        self._add(name, [fit, self._evaluate(name, snapshot)], needs)

    def _at(self, run: str, epochs: int) -> str:
        return f"{run}@step-{epochs * self.size.stage1_iters:08d}"

    def _fit(
        self, name: str, snapshot: str, stage: int, seed: int, init: str | None, more: list[str]
    ) -> tuple[str, ...]:
        size = self.size
        if stage == 1:
            steps = [f"train.epochs={size.stage1_epochs}", f"train.iters_per_epoch={size.stage1_iters}",
                     f"train.keep_every={size.stage1_epochs // 10}"]  # fmt: skip
        else:
            every = max(1, size.stage2_epochs // 6)
            steps = [f"train.epochs={size.stage2_epochs}", f"train.iters_per_epoch={size.stage2_iters}",
                     f"evaluate.every={every}", "evaluate.splits=[val]", "evaluate.select=validation",
                     "evaluate.extraction=lexicon", f"train.keep_every={every}"]  # fmt: skip
        if more is NO_STEP:
            steps = []
        data = str(self.folder / "snapshots" / snapshot)
        words = ["fit", "--config", str(self.folder / "config.yaml"), "--snapshot", data,
                 "--out", str(self.folder / "runs" / name), "--no-register"]  # fmt: skip
        if init:
            words += ["--init", str(self.folder / "runs" / init)]
        return (*words, "--set", f"stage={stage}", f"seed={seed}", *steps, *more)

    def _evaluate(self, run: str, snapshot: str) -> tuple[str, ...]:
        return ("evaluate", "--run", str(self.folder / "runs" / run), "--snapshot",
                str(self.folder / "snapshots" / snapshot), "--split", "test", "--extraction", "lexicon")  # fmt: skip

    def _curve(self, run: str) -> tuple[str, ...]:
        words = list(self._evaluate(run, "fine"))
        words[words.index("test")] = "val"
        return (*words, "--every", str(self.size.stage1_epochs // 10))

    def _add(self, name: str, commands: list[tuple[str, ...]], needs: tuple[str, ...] = ()) -> None:
        self.jobs.append(Job(name, tuple(commands), needs))

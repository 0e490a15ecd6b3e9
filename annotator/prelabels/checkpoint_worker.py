"""The process that holds one promoted AffectGPT checkpoint in memory and answers about clips, a line for a line.

    python -m annotator.prelabels.checkpoint_worker FOLDER --sha256 DIGEST [--device cpu] [--idle 300]

`checkpoints.py` starts it beside a worker and is its only caller. It knows no Django. On standard input comes one JSON
object a line, `{"questions": [{"media", "subtitles": {zh, en}, "clip", "media_sha256"}, …]}`; each is answered with one
line `{"answers": [{"text", "seen"} | {"error"}, …], "seconds", "device"}`. The first line says `{"ready": true, …}`, or
`{"error"}` before it ends with status 2. It ends when its input does, or after so many idle seconds.

`seen` names the stages of training that had the clip: a description of it is no prediction.
"""

import argparse
import hashlib
import json
import os
import select
import sys
import time
from pathlib import Path
from typing import IO, Any

OTHER = {"zh": "en", "en": "zh"}


class Describer:
    """The loaded checkpoint. Raises training's UsageError where it cannot be used."""

    def __init__(self, folder: Path, sha256: str, device: str | None) -> None:
        from training.errors import UsageError

        try:
            with (folder / "trainable.safetensors").open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UsageError(f"{folder}: {error.strerror}") from error
        if found != sha256:
            raise UsageError(f"{folder} holds other weights ({found[:12]}…) than were promoted ({sha256[:12]}…)")
        from training.generate import load_trained  # torch: not before the weights are those that were promoted

        self.trained = load_trained(folder, device)
        if self.trained.checkpoint is None:
            raise UsageError(f"{folder} holds no checkpoint")
        self.language = self.trained.config.data.language
        self.seen: dict[str, list[dict[str, Any]]] = {}
        for stage in self.trained.checkpoint.lineage:
            told = {"snapshot": stage["name"], "digest": stage["digest"], "split": stage["split"]}
            told["stage"] = stage.get("stage")
            for row in stage["clips"]:
                for by, key in (("media hash", row.get("sha256")), ("name", row.get("clip"))):
                    if key:
                        self.seen.setdefault(f"{by} {key}", []).append({**told, "by": by})

    @property
    def device(self) -> str:
        return str(self.trained.model.device)

    def answer(self, questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the model says to each; where a batch fails, each is asked alone, so that one bad file fails one."""
        from models_ml.media import MediaError
        from training.errors import TrainingError

        try:
            texts = self._texts(questions)
        except (TrainingError, MediaError, RuntimeError, MemoryError) as error:
            if len(questions) > 1:
                return [self.answer([question])[0] for question in questions]
            return [{"error": f"{type(error).__name__}: {error}"[:500]}]
        return [{"text": text, "seen": self.stages(question)} for text, question in zip(texts, questions, strict=True)]

    def _texts(self, questions: list[dict[str, Any]]) -> list[str]:
        from training.data import Sample
        from training.evidence import open_media
        from training.generate import answers

        samples = []
        for question in questions:
            known = question["subtitles"]
            words = known.get(self.language) or known.get(OTHER.get(self.language, "en")) or ""
            samples.append(Sample(question["clip"], words, "", open_media(question["media"])))
        return answers(self.trained, samples)

    def stages(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        """The stages that had this clip, by its media's hash, else by its name."""
        by_hash = self.seen.get(f"media hash {question['media_sha256']}", []) if question["media_sha256"] else []
        return by_hash or self.seen.get(f"name {question['clip']}", [])


def serve(describer: Describer, source: IO[bytes], say: Any, idle: float) -> None:
    """Answer until the input ends or nothing came for so long."""
    while select.select([source], [], [], idle)[0]:
        line = source.readline()
        if not line:
            return
        began = time.monotonic()
        answers = describer.answer(json.loads(line)["questions"])
        say({"answers": answers, "seconds": round(time.monotonic() - began, 3), "device": describer.device})


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--device")
    parser.add_argument("--idle", type=float, default=300.0)
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer

    def say(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value, ensure_ascii=False) + "\n")
        answers.flush()

    try:
        from training.errors import TrainingError

        describer = Describer(options.folder, options.sha256, options.device)
    except ImportError as error:
        say({"error": f"{error}; install with: pip install -r requirements/ml.txt"})
        return 2
    except (TrainingError, OSError, RuntimeError, MemoryError) as error:
        say({"error": f"{type(error).__name__}: {error}"[:500]})
        return 2
    say({"ready": True, "language": describer.language, "device": describer.device})
    serve(describer, os.fdopen(0, "rb", buffering=0), say, options.idle)
    return 0


if __name__ == "__main__":
    sys.exit(main())

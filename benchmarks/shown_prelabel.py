"""`python -m benchmarks.shown_prelabel` (part of `make shown`): pre-labelling on clips of two kinds, in all its ways.

The synthetic demo corpus, and clips like found material (`photographs`). Without a server: `measured`, and `merr` as
far as it goes. Then `emer` and `merr` through a scripted server, for content; through `transformers serve`, with models
whose encoders are random and whose language model was fitted for some seconds to one sentence (what they say is not
about the clip, and stands under their names); the same kind of models inside the worker; an adapter in an environment
of its own; and the evidence gate on the planted claims. Every step prints its figures; nothing of it stays.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from typing import Any

from .photographs import make_clips
from .shown import Steps
from .world import ROOT, World, use_django, world

TINY = """
- step: measured_prosody
- step: au_expression
- step: visual_clue
  prelabeller: tiny-llava-served
  options: {frames: 4}
- step: audio_clue
  prelabeller: tiny-qwen2-audio-served
- step: disambiguate
  prelabeller: tiny-qwen2-served
- step: merge
  prelabeller: tiny-qwen2-merging-served
"""
MERGED = {
    "description": {"en": "The person smiles, so they feel happy.", "zh": "人物微笑，因此感到高兴。"},
    "ov_labels": {"en": ["happy"], "zh": ["高兴"]},
}


def main() -> int:
    step = Steps()
    with world() as ours:
        corpora(ours, step)
        use_django()
        for slug in ("demo", "interviews"):
            for pipeline in ("measured", "merr"):
                prelabel(ours, step, f"{pipeline}: {slug}", slug, "--pipeline", pipeline, expect=(0, 1))
        scripted(ours, step)
        served(ours, step)
        local(ours, step)
        adapter(ours, step)
        gate(ours, step)
        invariants = ours.manage("check_invariants")
        step("invariants", ok=invariants["ok"], broken=len(invariants["broken"]))
    print(json.dumps(step.figures, ensure_ascii=False))
    return 0


def corpora(ours: World, step: Steps) -> None:
    """`demo`: twelve drawn and synthesised clips with AU tracks; `interviews`: a photographed face, without tracks."""
    from models_ml.synthetic import make_corpus

    made, found = ours.folder / "made", ours.folder / "found"
    make_corpus(made, n=12, seed=0)
    make_clips(found)
    for slug, folder, options in (
        ("demo", made, ("--au", str(made / "au"))),
        ("interviews", found, ()),
    ):
        synthetic = ("--synthetic",) if slug == "demo" else ()
        ours.manage("create_corpus", slug, "--licence", "open", "--language", "en", *synthetic)
        report = ours.manage("ingest", slug, str(folder), "--subtitles", str(folder / "subtitles.csv"), *options)
        step(f"ingest: {slug}", created=report["created"], failed=len(report["failed"]))


def prelabel(
    ours: World, step: Steps, name: str, slug: str, *options: str, expect: tuple[int, ...] = (0,)
) -> dict[str, Any]:
    """A run to its end; its jobs, the kinds of what failed and was skipped, and what it said of the first clip."""
    found = ours.manage("prelabel", slug, *options, "--wait", expect=expect)
    failed = sorted({f"{item['step']}: {item['code']}" for item in found["failed"]})
    skipped = sorted({f"{item['step']}: {item['reason'][:60]}" for item in found["warnings"]})
    step(name, state=found["state"], **found["jobs"], failed_why=failed, skipped_why=skipped, says=says(found["run"]))
    return found


def says(run: int) -> dict[str, Any]:
    """The clues and the last description that the run wrote for its first clip, each under its pre-labeller."""
    from annotator.prelabels.models import Clue, DescriptionDraft

    drafts = DescriptionDraft.objects.filter(job__run_id=run).order_by("clip__name", "-id")
    draft = drafts.select_related("prelabeller", "clip").first()
    clues = Clue.objects.filter(job__run_id=run).order_by("clip__name", "id").select_related("prelabeller", "clip")
    first = draft.clip.name if draft else (clues[0].clip.name if clues else None)
    said = {clue.prelabeller.name: clue.text[:160] for clue in clues if clue.clip.name == first}
    if draft:
        said[draft.prelabeller.name] = (draft.description_en or draft.description_zh)[:300]
    return said


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """The servers of the environment, for as long as it lasts."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


def scripted(ours: World, step: Steps) -> None:
    """Content: what the models would be asked, answered by a script that reads the clues it is given."""
    from tests.support import scripted_server

    with scripted_server.running(ours.folder / "calls.jsonl") as server:
        both = {f"{prefix}_BASE_URL": server.base_url for prefix in ("LLM", "PRELABEL")}
        with environment(**both, LLM_MODEL="scripted", PRELABEL_MODEL="scripted"):
            for pipeline in ("emer", "emer-open", "merr"):
                prelabel(ours, step, f"{pipeline}: scripted", "demo", "--pipeline", pipeline)
            prelabel(ours, step, "emer: scripted, found", "interviews", "--pipeline", "emer")
            before = len(server.calls())
            prelabel(ours, step, "emer: once more", "demo", "--pipeline", "emer")
            step("cache", calls_before=before, calls_of_the_same_run_again=len(server.calls()) - before)


def served(ours: World, step: Steps) -> None:
    """`emer` through `transformers serve`: one server for each of four tiny models, a pipeline of one's own."""
    from tests.support import tiny_llm

    folder = ours.folder / "tiny"
    models = {
        "tiny-llava-served": ("visual", tiny_llm.make_vision_model(folder / "llava")),
        "tiny-qwen2-audio-served": ("audio", tiny_llm.make_audio_model(folder / "qwen2-audio")),
        "tiny-qwen2-served": ("text", tiny_llm.make_chat_model(folder / "qwen2")),
        "tiny-qwen2-merging-served": (
            "text",
            tiny_llm.make_chat_model(folder / "qwen2-merging", json.dumps(MERGED, ensure_ascii=False)),
        ),
    }
    (ours.folder / "tiny.yaml").write_text(TINY)
    with contextlib.ExitStack() as servers:
        for name, (modality, model) in models.items():
            url = servers.enter_context(tiny_llm.serving(model, folder / f"cache-{name}"))
            register(name, "server", modality, str(model), base_url=url)
        ours.manage("pipeline", "define", "tiny-emer", str(ours.folder / "tiny.yaml"))
        prelabel(ours, step, "emer: transformers serve", "demo", "--pipeline", "tiny-emer")


def local(ours: World, step: Steps) -> None:
    """Way 2: Qwen2-Audio, Video-LLaVA and Qwen2.5-Omni, loaded by transformers in the process that works."""
    from tests.support import tiny_llm, tiny_media

    folder = ours.folder / "local"
    for name, modality, make in (
        ("tiny-qwen2-audio", "audio", tiny_media.make_qwen2_audio),
        ("tiny-video-llava", "visual", tiny_media.make_video_llava),
        ("tiny-qwen2.5-omni", "visual", tiny_media.make_qwen2_5_omni),
    ):
        register(name, "local", modality, str(make(folder / name, tiny_llm.SENTENCE)))
        prelabel(ours, step, f"in the worker: {name}", "demo", "--prelabeller", name)


def adapter(ours: World, step: Steps) -> None:
    """Way 3: two copied files in a virtual environment that has nothing but Python."""
    folder = ours.folder / "elsewhere"
    venv.create(folder / "env", with_pip=False)
    for source in ("models_ml/serve.py", "docs/adapters/level.py"):
        shutil.copy(ROOT / source, folder)
    python = str(folder / "env" / "bin" / "python")
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    command = [python, "serve.py", "level:describe", "--port", "0"]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=folder, env=bare, text=True, **quiet) as server:
        try:
            register("level", "server", "audio", "describe", base_url=(server.stdout or sys.stdin).readline().strip())
            prelabel(ours, step, "adapter elsewhere", "interviews", "--prelabeller", "level")
        finally:
            server.terminate()


def gate(ours: World, step: Steps) -> None:
    """The planted claims, which were written before the lexicon and apart from it."""
    claims = ROOT / "tests" / "models_ml" / "gate" / "planted" / "test.jsonl"
    found = ours.command([sys.executable, "-m", "models_ml.gate", "score", str(claims)])
    step("gate", **{key: found[key] for key in ("n", "precision", "recall", "confusion")})


def register(name: str, kind: str, modality: str, model: str, **fields: Any) -> None:
    from annotator.prelabels.models import PreLabeller

    PreLabeller.objects.create(name=name, kind=kind, modality=modality, model=model, trust="inside", **fields)


if __name__ == "__main__":
    sys.exit(main())

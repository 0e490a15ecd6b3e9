"""docs/models.md, written from the table."""

from __future__ import annotations

from models_ml.registry import UNKNOWN, ModelRow, Score

HEAD = """# Models: who can pre-label, and how each is reached

Written by `python -m models_ml.registry --markdown` from `models_ml/registry/models.yaml`; change it there. The same
table is in the workbench under *Runs → Models*.

There are three ways in.

**1. A server that speaks OpenAI's chat API** (`openai`): OpenAI, vLLM, SGLang, Ollama, llama.cpp, `transformers serve`,
DashScope … For all runs by `PRELABEL_*` and `LLM_*` ([prelabel.md](prelabel.md)), or registered by name in the admin as
kind `server`.

**2. transformers, in a worker** (`transformers`): registered as kind `local`; `model` is a folder or an id on the hub
and `parameters` may hold `device` (`auto`, `cpu`, `cuda:0` …), `dtype` (`auto`, `float32`, `bfloat16`, `float16`),
`family` (`auto`) and `batch`. Its jobs go to the queue `gpu`; a worker loads a checkpoint once. Weights must be
safetensors, code that comes with a checkpoint is never run, and a checkpoint that lacks weights is refused. With
`HF_HUB_OFFLINE=1` the hub is not asked. Frames go in as pictures (to Video-LLaVA as one video), sound as
16 kHz WAV, a long one in pieces of what the model hears at a time.

**3. A served adapter** (`adapter`): research code stays in its own environment, behind `python -m models_ml.serve`;
[adapters](adapters/README.md) shows how, with an example.

*Run here* says what we ran ourselves: *tiny* = random weights of this architecture, saved and loaded as real ones are,
on a CPU with transformers 5.23 (the text is nonsense; the path is real); *served* = the same behind `transformers
serve`; *own* = trained and asked by this project's own code, small weights, CPU; *recorded* = its outputs only; *never*
= not run by us. Nothing here was run with its published weights. A licence with *(?)* was not read by us; *none
stated*: the repository carries no licence.
"""
SCORES = """
## Scores of the paper

arXiv 2407.07653, EMER-Fine, mean of set-level accuracy and recall in per cent, ± std over two runs of the scoring
model. Table 1: all 332 clips; table 2: SALMONN + Chat-UniVi with another text model; table 4: AffectGPT on 66 test
clips.

| model | row of the paper | given | table | English | Chinese |
|---|---|---|---|---|---|
"""


def licence(row: ModelRow, part: str) -> str:
    """The licence of code or weights, with (?) where nobody read it."""
    words = row.licence[part]
    return words if part in row.checked or words == UNKNOWN else f"{words} (?)"


def document(rows: list[ModelRow]) -> str:
    """The whole page."""
    lines = [
        "| model | for | languages | licence: code; weights | way | runs with | run here |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        licences = f"{licence(row, 'code')}; {licence(row, 'weights')}"
        cells = [
            f"[{row.name}]({row.link})", row.modality, " ".join(row.languages), licences, row.way, row.runs_with,
            row.run_here,
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    notes = [f"- **{row.name}**: {row.note['en']}" for row in rows if row.note]
    return HEAD + "\n" + "\n".join(lines) + "\n\n" + "\n".join(notes) + "\n" + SCORES + "\n".join(_scores(rows)) + "\n"


def _scores(rows: list[ModelRow]) -> list[str]:
    return [
        f"| {row.name} | {one['model'].replace('|', ', ')} | {one['media']} | {one['table']} | "
        f"{_figure(one['english'])} | {_figure(one['chinese'])} |"
        for row in rows
        for one in row.results()
    ]


def _figure(one: Score | None) -> str:
    if one is None:
        return "—"
    return f"{one.mean:.2f}" if one.std is None else f"{one.mean:.2f} ± {one.std:.2f}"

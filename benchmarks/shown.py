"""`python -m benchmarks.shown` (`make shown`): the whole loop on clips that are not the demo's, by the real commands.

A photographed face with Chinese and English speech, avi and mp4, and one file that is no video: ingest, pre-label,
claim and submit by REST, review, freeze, export, fetch, fit, evaluate. Every step prints its figures; nothing of it
stays. What the numbers of `evaluate` are worth: the frozen encoders and LLM of `tiny` have random weights.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .client import Client
from .photographs import LINES, make_clips
from .world import World, world

SLUG = "interviews"


class Steps:
    """Prints each step with its figures and keeps them for the last line."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self._began = time.monotonic()

    def __call__(self, name: str, **figures: Any) -> None:
        now = time.monotonic()
        figures["seconds"] = round(now - self._began, 1)
        self._began = now
        self.figures[name] = figures
        shown = ", ".join(f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in figures.items())
        print(f"{name:<10} {shown}", flush=True)


def main() -> int:
    step = Steps()
    with world() as ours:
        clips = ours.folder / "found clips"
        make_clips(clips)
        (clips / "not_a_video.mp4").write_text("this is a text file\n")
        step("clips", made=len(LINES), chinese=sum(line.speaker in (0, 2) for line in LINES), broken_files=1)
        ingest(ours, clips, step)
        found = ours.manage("prelabel", SLUG, "--pipeline", "measured", "--wait")
        step("pre-label", state=found["state"], **found["jobs"], skipped_why=_first_reason(found["warnings"]))
        ours.start_web(1)
        annotate(ours, step)
        frozen = freeze(ours, step)
        train(ours, frozen, clips, step)
        invariants = ours.manage("check_invariants")
        step("invariants", ok=invariants["ok"], broken=len(invariants["broken"]))
    print(json.dumps(step.figures, ensure_ascii=False))
    return 0


def ingest(ours: World, clips: Path, step: Steps) -> None:
    """The folder becomes a corpus; the file that is no video is named and the rest goes on (exit 1)."""
    ours.manage("create_corpus", SLUG, "--name", "采访 Interviews", "--licence", "open", "--language", "zh")
    arguments = ("ingest", SLUG, str(clips), "--subtitles", str(clips / "subtitles.csv"))
    report = ours.manage(*arguments, expect=(1,))
    again = ours.manage(*arguments, expect=(1,))
    step(
        "ingest",
        created=report["created"],
        warnings=len(report["warnings"]),
        failed=report["failed"],
        a_second_time_unchanged=again["unchanged"],
    )


def annotate(ours: World, step: Steps) -> None:
    """Two annotators and a reviewer by REST: claim, draft, submit, accept; one clip is returned and done again."""
    people = {"lin": "annotator", "harris": "annotator", "zhou": "reviewer"}
    clients = {}
    for name, role in people.items():
        ours.manage("add_member", SLUG, name, "--role", role, "--create")
        clients[name] = Client(ours.port, ours.manage("issue_token", name)["token"])
    submitted = work(clients, ("lin", "harris"))
    step("check", submitted=submitted)
    accepted, returned = review(clients["zhou"])
    resubmitted = work(clients, ("lin", "harris"))
    more, _none = review(clients["zhou"])
    step("review", accepted=accepted + more, returned=returned, resubmitted=resubmitted)
    for client in clients.values():
        client.close()


def work(clients: dict[str, Client], names: tuple[str, ...]) -> int:
    """Each in turn takes the next clip until nothing is left for anybody; how many were submitted."""
    done, open_for = 0, list(names)
    while open_for:
        client = clients[open_for[done % len(open_for)]]
        answer = client("POST", f"/corpora/{SLUG}/claims/", {})
        if answer.status == 204:
            open_for = [name for name in open_for if clients[name] is not client]
            continue
        claim = answer.json()
        part = client("GET", claim["clip"]["media"]["video"], headers={"Range": "bytes=0-99"}, expect=(206,))
        if len(part.data) != 100:
            raise ValueError(f"{claim['clip']['name']}: Range gave {len(part.data)} bytes")
        body = judged(claim)
        client("PUT", f"/claims/{claim['id']}/draft/", body, headers={"If-Match": answer.headers["etag"]})
        key = {"Idempotency-Key": f"shown-{claim['id']}-{claim['version']}"}
        first = client("POST", f"/claims/{claim['id']}/submit/", body, headers=key, expect=(201,)).json()
        replay = client("POST", f"/claims/{claim['id']}/submit/", body, headers=key, expect=(201,)).json()
        if first != replay:
            raise ValueError(f"a replayed submission was answered differently: {first}, {replay}")
        done += 1
    return done


def judged(claim: dict[str, Any]) -> dict[str, Any]:
    """What a careful person would say who knows which emotion was spoken: clues kept, the line named, labels set."""
    line = next(line for line in LINES if Path(line.name).stem == claim["clip"]["name"])
    keys = ("id", "modality", "aspect", "language", "text", "span")
    clues = [{**{key: clue[key] for key in keys}, "verdict": "kept"} for clue in claim["clues"]]
    said = {"modality": "text", "aspect": "content", "language": "zh", "span": None, "verdict": "added"}
    clues.append({**said, "text": f"“{line.zh}”说明了说话人的心情。"})
    heard = "".join(clue["text"] for clue in clues if clue["modality"] == "audio")
    more = "经再次核对，" if claim["returned"] else ""
    return {
        "clues": clues,
        "description": {
            "zh": f"{more}{heard}结合台词“{line.zh}”，可以判断其情绪。",
            "en": f"Voice and words (“{line.en}”) together show how the speaker feels: {line.emotion}.",
        },
        "ov_labels": {"zh": [], "en": [line.emotion]},
    }


def review(reviewer: Client) -> tuple[int, int]:
    """Accept what is there, but return the very first clip once; (accepted, returned)."""
    accepted = returned = 0
    while (answer := reviewer("POST", f"/corpora/{SLUG}/claims/", {"kind": "review"})).status != 204:
        claim = answer.json()
        chosen = claim["annotations"][0]
        decision: dict[str, Any] = {"decision": "accept", "annotation": chosen["id"]}
        if claim["clip"]["name"] == "interview_04" and "经再次核对" not in chosen["body"]["description"]["zh"]:
            decision = {"decision": "return", "annotation": chosen["id"], "reason": "请再听一遍最后一句。"}
        reviewer("POST", f"/claims/{claim['id']}/decide/", decision, expect=(201,))
        accepted += decision["decision"] == "accept"
        returned += decision["decision"] == "return"
    return accepted, returned


def freeze(ours: World, step: Steps) -> Path:
    """Freeze, check the sums with coreutils, export, and fetch the folder back by REST."""
    frozen = ours.manage("freeze", SLUG, "v1", "--split", "train=6,test=2")
    folder = Path(frozen["path"])
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, check=True)
    step("freeze", **frozen["counts"], splits=frozen["splits"], digest=frozen["digest"][:12], sums_hold=True)
    sizes = {}
    for name, suffix in (("emer-v2", "csv"), ("jsonl", "jsonl"), ("csv", "csv")):
        out = ours.folder / f"{name}.{suffix}"
        sizes[name] = ours.manage("export", f"{SLUG}/v1", "--format", name, "--out", str(out))["records"]
    same = (ours.folder / "jsonl.jsonl").read_bytes() == (folder / "records.jsonl").read_bytes()
    step("export", records=sizes, jsonl_is_records_jsonl=same)
    ours.manage("add_member", SLUG, "engineer", "--role", "viewer", "--create")
    token = ours.manage("issue_token", "engineer")["token"]
    url = f"http://127.0.0.1:{ours.port}/api/v1/snapshots/{frozen['id']}/"
    training = [sys.executable, "-m", "training"]
    fetched = ours.command([*training, "fetch", url, "--out", str(ours.folder / "fetched"), "--token", token])
    step("fetch", **{key: value for key, value in fetched.items() if key in ("digest", "files", "bytes", "records")})
    return Path(fetched["path"])


def train(ours: World, snapshot: Path, media: Path, step: Steps) -> None:
    """Fit `tiny` on the fetched snapshot and the original files, then evaluate on its test split."""
    training = [sys.executable, "-m", "training"]
    data = ["--snapshot", str(snapshot), "--media", str(media)]
    run = ours.folder / "runs" / "shown"
    fit = ours.command([*training, "fit", "--config", "tiny", *data, "--out", str(run)])
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])["loss"]
    losses = {"first_loss": round(first, 3), "last_loss": round(fit["loss"], 3)}
    step("fit", steps=fit["steps"], **losses, trainable=fit["trainable_parameters"], media=fit["media"])
    score = ours.command([*training, "evaluate", "--run", str(run), *data, "--split", "test"])
    keys = ("n", "accuracy", "recall", "avg", "ci95", "grouping", "extraction")
    step("evaluate", **{key: score[key] for key in keys})


def _first_reason(warnings: list[dict[str, Any]]) -> str | None:
    return warnings[0]["reason"] if warnings else None


if __name__ == "__main__":
    sys.exit(main())

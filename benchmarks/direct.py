"""The same questions without a workbench: `python -m benchmarks.direct URL REQUESTS.jsonl THREADS`.

One process, one plain `openai` client, as many threads as calls at a time. Prints `{"n", "seconds", "cpu_seconds"}` of
the time from the first question to the last answer.
"""

import json
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any


def main() -> None:
    import openai

    url, file, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    lines = file.read_text("utf-8").splitlines()
    for line in lines:
        requests.put(json.loads(line))
    answered = []

    def ask() -> None:
        while True:
            try:
                request = requests.get_nowait()
            except queue.Empty:
                return
            answered.append(len(client.chat.completions.create(**request).choices[0].message.content or ""))

    client.models.list()  # the first call makes the client's own types
    began, cpu = time.perf_counter(), time.process_time()
    workers = [threading.Thread(target=ask) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - began
    if len(answered) != len(lines) or not all(answered):
        raise SystemExit(f"{len(answered)} of {len(lines)} questions were answered")
    print(json.dumps({"n": len(lines), "seconds": seconds, "cpu_seconds": time.process_time() - cpu}))


if __name__ == "__main__":
    main()

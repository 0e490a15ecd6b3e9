"""The library's rooms open without the client and media libraries; those load when they are first needed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CODE = """
import sys
for absent in ("openai", "httpx2", "httpcore2", "redis", "yaml", "av", "PIL", "parselmouth", "torch", "django"):
    sys.modules[absent] = None
import models_ml.llm, models_ml.mllm, models_ml.prompts, models_ml.steps, models_ml.metrics, models_ml.serve
ev = models_ml.steps.Evidence("c", subtitle={"zh": "我没事", "en": None})
print(models_ml.steps.run_step("coarse_template", ev).state)
print(models_ml.metrics.openset({"a": ["x"]}, {"a": ["x"]})["avg"])
"""


def test_steps_and_metrics_need_neither_client_nor_media_libraries_nor_django():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.split() == ["done", "1.0"], done.stderr

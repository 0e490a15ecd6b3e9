"""The web application starts where torch is not installed, and says what is missing when training is asked for."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "accelerate", "safetensors", "tokenizers"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import importlib.util
real = importlib.util.find_spec
def find_spec(name, *rest):
    try:
        return real(name, *rest)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
import annotator.wsgi
from django.urls import get_resolver
get_resolver().reverse_dict  # every page and endpoint is imported
import annotator.celery
annotator.celery.app.loader.import_default_modules()
from annotator.core.errors import NotConfigured
from annotator.experiments import presence
from annotator.experiments.services import require_training
presence.there = lambda: False  # this program has no database to ask; no trainer is elsewhere
try:
    require_training()
except NotConfigured as error:
    print(error.message)
"""


def test_pages_api_and_tasks_load_without_torch() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "annotator.settings.test"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "torch, transformers" in done.stdout
    assert "pip install -r requirements/ml.txt" in done.stdout

"""The client for text models behind any OpenAI-compatible server:

endpoints, bounded and retried calls, named failures.
"""

from __future__ import annotations

from models_ml.llm.answers import clean, is_refusal, json_object, language_of, usable_text
from models_ml.llm.client import Completion, complete, request_hash, stream
from models_ml.llm.endpoint import Endpoint, endpoint_from_env, how_to_configure, require
from models_ml.llm.errors import Deferred, ModelFailure, NotConfigured, Spent, excerpt

__all__ = [
    "Completion",
    "Deferred",
    "Endpoint",
    "ModelFailure",
    "NotConfigured",
    "Spent",
    "clean",
    "complete",
    "endpoint_from_env",
    "excerpt",
    "how_to_configure",
    "is_refusal",
    "json_object",
    "language_of",
    "request_hash",
    "require",
    "stream",
    "usable_text",
]

"""Endpoints come from the environment, keep their key to themselves and say what is missing."""

import pickle

import pytest

from models_ml.llm import Endpoint, ModelFailure, NotConfigured, endpoint_from_env, require


def test_without_a_base_url_there_is_no_endpoint():
    assert endpoint_from_env("LLM", {"LLM_MODEL": "m"}) is None


def test_a_step_without_endpoint_says_which_variables_to_set():
    with pytest.raises(NotConfigured, match=r"PRELABEL_BASE_URL.*PRELABEL_MODEL.*for example"):
        require(None, "PRELABEL")


def test_every_variable_is_read():
    env = {"PRELABEL_BASE_URL": "https://api.example.org/v1/", "PRELABEL_MODEL": "omni", "PRELABEL_API_KEY": "s3cret"}
    env |= {"PRELABEL_TIMEOUT": "7.5", "PRELABEL_MAX_RETRIES": "1", "PRELABEL_TRUST": "inside", "PRELABEL_STREAM": "1"}
    found = endpoint_from_env("PRELABEL", env)
    assert found == Endpoint("https://api.example.org/v1", "omni", "s3cret", 7.5, 1, "inside", True)


def test_the_key_is_never_shown():
    assert "s3cret" not in repr(Endpoint("http://localhost/v1", "m", "s3cret"))


@pytest.mark.parametrize(
    ("url", "trust"),
    [
        ("http://127.0.0.1:8001/v1", "inside"),
        ("http://localhost:8001/v1", "inside"),
        ("http://10.0.0.7/v1", "inside"),
        ("https://api.example.org/v1", "outside"),
        ("https://8.8.8.8/v1", "outside"),
    ],
)
def test_only_a_private_address_is_trusted_unasked(url, trust):
    assert endpoint_from_env("LLM", {"LLM_BASE_URL": url, "LLM_MODEL": "m"}).trust == trust


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"LLM_MODEL": "m", "LLM_BASE_URL": "ftp://x/v1"},
        {"LLM_MODEL": "m", "LLM_BASE_URL": "http://user:pw@host/v1"},
        {"LLM_MODEL": "m", "LLM_TIMEOUT": "soon"},
        {"LLM_MODEL": "m", "LLM_TRUST": "maybe"},
    ],
)
def test_a_description_that_cannot_be_used_is_not_configured(more):
    with pytest.raises(NotConfigured, match="LLM_"):
        endpoint_from_env("LLM", {"LLM_BASE_URL": "http://localhost/v1"} | more)


def test_a_failure_survives_the_way_between_processes():
    failure = pickle.loads(pickle.dumps(ModelFailure("http_503", "down", 4)))
    assert (failure.code, failure.detail, failure.calls, failure.transient) == ("http_503", "down", 4, True)
    assert not ModelFailure("refusal", "no").transient

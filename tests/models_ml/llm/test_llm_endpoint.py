"""Endpoints come from the environment, keep their key to themselves and say what is missing."""

import pickle

import pytest

from models_ml.llm import Deferred, Endpoint, ModelFailure, NotConfigured, Spent, endpoint_from_env, require


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


def test_limits_prices_and_the_manner_of_media_are_read():
    env = {"LLM_BASE_URL": "http://localhost/v1", "LLM_MODEL": "m", "LLM_CONCURRENCY": "16", "LLM_RATE": "600"}
    env |= {"LLM_PRICE_IN": "0.15", "LLM_PRICE_OUT": "0.6", "LLM_GPUS": "0.5", "LLM_VIDEO": "video_url"}
    found = endpoint_from_env("LLM", env | {"LLM_AUDIO": "data_url"})
    assert (found.concurrency, found.rate_per_minute, found.gpus) == (16, 600, 0.5)
    assert (found.price_in, found.price_out, found.video, found.audio) == (0.15, 0.6, "video_url", "data_url")
    assert found.cost(2_000_000, 1_000_000) == pytest.approx(0.9)
    plain = Endpoint("http://localhost/v1", "m")
    assert (plain.concurrency, plain.rate_per_minute, plain.cost(1000, 1000)) == (None, None, 0.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("timeout_s", value) for value in (0, -1, float("nan"), float("inf"), "60", True, None)],
        *[("max_retries", value) for value in (-1, 1.5, "3")],
        *[("concurrency", value) for value in (0, -4, 2.5, "16", True)],
        *[("rate_per_minute", value) for value in (0, 0.5)],
        *[("price_in", value) for value in (-0.1, float("nan"))],
        *[("price_out", -1), ("gpus", -1), ("video", "mp4"), ("audio", ""), ("trust", "both")],
    ],
)
def test_a_field_that_cannot_be_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        Endpoint("http://localhost/v1", "m", **{field: value})


@pytest.mark.parametrize("key", ["sk-1\n", "sk 中", "a\x00b"])
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(key):
    with pytest.raises(ValueError, match="API key") as caught:
        Endpoint("http://localhost/v1", "m", key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]/v1",
        "http://[::ffff:169.254.169.254]/v1",
        "http://2852039166/v1",
        "http://0xA9FEA9FE/v1",
        "http://169.254.43518/v1",
        "http://169.254.170.2/v1",
        "http://100.100.100.200/v1",
        "http://metadata.google.internal/v1",
        "http://metadata.google.internal./v1",
    ],
)
def test_the_address_where_a_cloud_hands_out_keys_is_no_model_server(url):
    with pytest.raises(ValueError, match="hands out the keys"):
        Endpoint(url, "m")


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.7:8000/v1",
        "http://192.168.1.9/v1",
        "http://[fd12::9]:8000/v1",
        "http://gpu-7.lab/v1",
        "http://100.64.0.1/v1",
    ],
)
def test_a_model_server_may_stand_on_a_private_address(url):
    assert Endpoint(url, "m").base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://host:port/v1",
        "http://[::1/v1",
        "http://host/v1?key=1",
        "http://ho st/v1",
        "http://host/v1#a",
        "localhost:8000/v1",
    ],
)
def test_what_is_no_address_of_a_server_is_refused(url):
    with pytest.raises(ValueError, match="base_url"):
        Endpoint(url, "m")


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
        {"LLM_MODEL": "m", "LLM_CONCURRENCY": "many"},
        {"LLM_MODEL": "m", "LLM_RATE": "0"},
    ],
)
def test_a_description_that_cannot_be_used_is_not_configured(more):
    with pytest.raises(NotConfigured, match="LLM_"):
        endpoint_from_env("LLM", {"LLM_BASE_URL": "http://localhost/v1"} | more)


def test_a_failure_survives_the_way_between_processes():
    sent = ModelFailure("http_503", "down", 4)
    sent.exchange = {"status": 503}
    failure = pickle.loads(pickle.dumps(sent))
    assert failure.exchange == {"status": 503}
    later = pickle.loads(pickle.dumps(Deferred(5.0, "busy", Spent(calls=2))))
    assert (later.seconds, later.reason, later.spent.calls) == (5.0, "busy", 2)
    assert (failure.code, failure.detail, failure.calls, failure.transient) == ("http_503", "down", 4, True)
    assert not ModelFailure("refusal", "no").transient

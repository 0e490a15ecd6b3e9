"""The page of models: the registry's table, filtered without scripts, with the admin's form filled in."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from annotator.prelabels.models import PreLabeller
from models_ml.registry import load
from tests.support import factories as make

pytestmark = pytest.mark.django_db


def page(user, query="", **headers):
    client = Client()
    client.force_login(user)
    return client.get(f"/corpora/lab/models/{query}", headers=headers).content.decode()


@pytest.fixture
def corpus():
    return make.create_corpus("lab")


@pytest.fixture
def admin(corpus):
    return make.create_user("admin", is_superuser=True, is_staff=True)


def keys(html):
    return re.findall(r'<tr id="model-([^"]+)"', html)


def test_every_row_of_the_registry_is_there_with_the_papers_scores(corpus):
    html = page(make.create_member(corpus, "manager"))
    assert keys(html) == [row.key for row in load()]
    salmonn = html.partition('id="model-salmonn"')[2].partition("</tr>")[0]
    assert "en 48.06" in salmonn
    assert "zh 48.53" in salmonn
    assert "Apache-2.0; unknown" in salmonn
    assert "not run by us" in salmonn
    openface = html.partition('id="model-openface"')[2].partition("</tr>")[0]
    assert "not run by us" in openface


def test_filters_work_together_and_without_scripts(corpus):
    manager = make.create_member(corpus, "manager")
    assert keys(page(manager, "?modality=audio&way=adapter")) == ["qwen-audio", "salmonn", "secap"]
    assert keys(page(manager, "?run_here=tiny&modality=audio")) == ["qwen2-audio"]
    assert keys(page(manager, "?modality=face&way=openai")) == []
    assert "No model is like that." in page(manager, "?modality=face&way=openai")
    assert len(keys(page(manager, "?modality=nonsense"))) == len(load())
    assert '<option value="audio" selected>' in page(manager, "?modality=audio")


def test_only_an_admin_gets_the_form_and_it_is_filled_in(corpus, admin):
    assert "/admin/" not in page(make.create_member(corpus, "manager")).partition("<main")[2]
    html = page(admin, "?modality=audio&way=transformers")
    link = re.search(r'href="(/admin/prelabels/prelabeller/add/[^"]+)"', html)[1].replace("&amp;", "&")
    assert {name: value[0] for name, value in parse_qs(urlsplit(link).query).items()} == {
        "name": "qwen2-audio", "kind": "local", "modality": "audio", "model": "Qwen/Qwen2-Audio-7B-Instruct",
        "trust": "inside",
    }  # fmt: skip
    client = Client()
    client.force_login(admin)
    form = client.get(link).content.decode()
    assert 'value="Qwen/Qwen2-Audio-7B-Instruct"' in form
    assert '<option value="local" selected>' in form


def test_a_checkpoint_of_ours_is_registered_as_one_that_takes_videos(corpus, admin):
    link = re.search(r'href="(/admin/[^"]+affectgpt[^"]+)"', page(admin, "?run_here=own"))[1].replace("&amp;", "&")
    client = Client()
    client.force_login(admin)
    form = client.get(link).content.decode()
    assert '<option value="checkpoint" selected>' in form
    assert "{&quot;video&quot;: &quot;video_url&quot;}</textarea>" in form
    assert client.get("/admin/prelabels/prelabeller/add/?parameters=%7Bbroken").status_code == 200


def test_every_link_of_the_page_opens_a_form_that_can_be_sent(corpus, admin):
    client = Client()
    client.force_login(admin)
    links = re.findall(r'href="(/admin/prelabels/prelabeller/add/[^"]+)"', page(admin))
    assert len(links) == sum(row.way != "track" for row in load())
    for link in links:
        query = {name: value[0] for name, value in parse_qs(urlsplit(link.replace("&amp;", "&")).query).items()}
        base_url = query.get("base_url", "") or ("" if query["kind"] == "local" else "http://127.0.0.1:8001/v1")
        answer = client.post(
            "/admin/prelabels/prelabeller/add/", {**query, "base_url": base_url, "gpus": "0", "parameters": "{}"}
        )
        assert answer.status_code == 302, answer.content.decode()
    assert PreLabeller.objects.filter(kind="local").count() == sum(row.way == "transformers" for row in load())
    assert "registered" in page(admin, "?modality=audio&way=transformers").partition("<tbody")[2]


def test_it_is_linked_from_the_runs_page_for_who_may_start_runs(corpus):
    for role, there in (("manager", True), ("viewer", False)):
        client = Client()
        client.force_login(make.create_member(corpus, role))
        assert ("/corpora/lab/models/" in client.get("/corpora/lab/runs/").content.decode()) is there


def test_it_speaks_chinese(corpus):
    html = page(make.create_member(corpus, "manager"), **{"accept-language": "zh-hans"})
    assert "以服务方式运行的适配器，在其自己的环境中" in html
    assert "模型由管理员登记。" in html
    assert "EMER-Coarse 所用的音频模型" in html

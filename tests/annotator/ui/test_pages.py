"""Home, overview, sign-in, profile, checking and review as pages: who sees what, in which language, by which policy."""

import re
from html.parser import HTMLParser

import pytest
from django.test import Client
from django.urls import reverse

from annotator.accounts.models import ApiToken
from annotator.accounts.services import issue_token
from annotator.clips.models import Membership
from tests.support.factories import create_clip, create_corpus, create_member, create_user

PASSWORD = "a-long-test-password"
pytestmark = pytest.mark.django_db


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return client


class Inline(HTMLParser):
    """Collects what the content security policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.script_type: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [f"<{tag} {name}>" for name in given if name == "style" or name.startswith(("on", "hx-on"))]
        if tag == "style" or (tag == "script" and "src" not in given and given.get("type") != "application/json"):
            self.found.append(f"inline <{tag}>")


def inline(html: str) -> list[str]:
    parser = Inline()
    parser.feed(html)
    return parser.found


# ---- sign-in, language ----------------------------------------------------------------------------


def test_signing_in_leads_to_the_page_that_was_asked_for() -> None:
    corpus = create_corpus("lab")
    user = create_member(corpus, "annotator")
    client = Client()
    asked = client.get("/corpora/lab/")
    assert asked.status_code == 302
    assert asked["Location"] == "/accounts/sign-in/?next=/corpora/lab/"
    answer = client.post(asked["Location"], {"username": user.username, "password": PASSWORD, "next": "/corpora/lab/"})
    assert answer["Location"] == "/corpora/lab/"


def test_a_wrong_password_says_so_and_keeps_the_name() -> None:
    answer = Client().post("/accounts/sign-in/", {"username": "mei", "password": "wrong"})
    assert answer.status_code == 422
    assert 'value="mei"' in answer.content.decode()
    assert "correct username and password" in answer.content.decode()


def test_nobody_is_sent_to_another_site_after_signing_in() -> None:
    user = create_user("mei")
    where = "https://evil.example/"
    answer = Client().post("/accounts/sign-in/", {"username": user.username, "password": PASSWORD, "next": where})
    assert answer["Location"] == "/"


def test_the_chosen_language_is_kept_on_the_user_and_follows_them() -> None:
    user = create_user("mei")
    client = signed_in(user)
    answer = client.post("/accounts/language/", {"language": "zh-hans", "next": "/"}, follow=True)
    assert "我的语料库" in answer.content.decode()
    assert '<html lang="zh-Hans">' in answer.content.decode()
    user.refresh_from_db()
    assert user.language == "zh-hans"
    elsewhere = Client()
    elsewhere.post("/accounts/sign-in/", {"username": "mei", "password": PASSWORD})
    assert "我的语料库" in elsewhere.get("/").content.decode()


@pytest.mark.parametrize("language", ["", "xx", "../en"])
def test_an_unknown_language_changes_nothing(language: str) -> None:
    user = create_user("mei")
    answer = signed_in(user).post("/accounts/language/", {"language": language, "next": "//evil.example"})
    assert answer["Location"] == "/"
    assert "django_language" not in answer.cookies
    user.refresh_from_db()
    assert user.language == ""


def test_signing_out_is_by_post() -> None:
    client = signed_in(create_user())
    assert client.get("/accounts/sign-out/").status_code == 405
    assert client.post("/accounts/sign-out/").status_code == 302
    assert client.get("/").status_code == 302


# ---- profile --------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_works() -> None:
    user = create_user()
    client = signed_in(user)
    shown = client.post("/accounts/profile/", {"days": "30", "scopes": ["corpus.view"]})
    text = re.search(r'<code id="new-token">([^<]+)</code>', shown.content.decode())
    assert text
    assert shown["Cache-Control"] == "no-store"
    assert text[1] not in client.get("/accounts/profile/").content.decode()
    answer = Client().get("/api/v1/corpora/", headers={"Authorization": f"Bearer {text[1]}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("fields", [{"days": "0.5"}, {"days": "4000"}, {"scopes": ["rule.the.world"]}])
def test_a_token_that_cannot_be_is_refused_on_the_page(fields: dict[str, object]) -> None:
    user = create_user()
    answer = signed_in(user).post("/accounts/profile/", fields)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()
    assert not user.tokens.exists()


def test_one_revokes_only_ones_own_tokens() -> None:
    mine, yours = create_user(), create_user()
    token, _text = issue_token(None, yours)
    assert signed_in(mine).post(reverse("accounts:revoke-token", args=[token.pk])).status_code == 404
    assert ApiToken.objects.get(pk=token.pk).live
    assert signed_in(yours).post(reverse("accounts:revoke-token", args=[token.pk])).status_code == 302
    assert not ApiToken.objects.get(pk=token.pk).live


# ---- home, overview -------------------------------------------------------------------------------


def test_home_shows_my_corpora_only_and_marks_the_synthetic_one() -> None:
    demo = create_corpus("demo", name="Demo corpus", synthetic=True)
    create_corpus("secret", name="Someone else's")
    create_clip(demo)
    html = signed_in(create_member(demo, "annotator")).get("/").content.decode()
    assert "Demo corpus" in html
    assert "badge--synthetic" in html
    assert "1 to check" in html
    assert "Someone else" not in html


def test_home_says_what_to_do_where_there_is_nothing() -> None:
    html = signed_in(create_user("lonely")).get("/").content.decode()
    assert "not a member of any corpus yet" in html
    assert "lonely" in html


def test_home_costs_as_many_queries_for_nine_corpora_as_for_three(django_assert_max_num_queries: object) -> None:
    user = create_user()
    client = signed_in(user)
    for number in range(9):
        corpus = create_corpus(f"corpus-{number}-of-nine")
        create_member(corpus, ("annotator", "reviewer"), user)
        create_clip(corpus)
        if number in (2, 8):
            with django_assert_max_num_queries(10):  # type: ignore[operator]
                assert client.get("/").content.decode().count("1 to check") == number + 1


def test_a_stranger_learns_nothing_of_a_corpus() -> None:
    create_corpus("secret", name="Hush")
    for path in ("", "check/", "review/", "members/add/", "members/remove/"):
        client = signed_in(create_user())
        answer = client.post(f"/corpora/secret/{path}") if "members" in path else client.get(f"/corpora/secret/{path}")
        assert answer.status_code == 404
        assert "Hush" not in answer.content.decode()


@pytest.mark.parametrize(
    ("role", "check", "review", "members"),
    [
        ("viewer", 403, 403, 403),
        ("annotator", 200, 403, 403),
        ("reviewer", 403, 200, 403),
        ("manager", 403, 403, 302),
        ("admin", 200, 200, 302),
    ],
)
def test_each_role_opens_its_own_pages(role: str, check: int, review: int, members: int) -> None:
    corpus = create_corpus("lab")
    other = create_user("other")
    user = create_user(is_superuser=True) if role == "admin" else create_member(corpus, role)
    client = signed_in(user)
    assert client.get("/corpora/lab/").status_code == 200
    assert client.get("/corpora/lab/check/").status_code == check
    assert client.get("/corpora/lab/review/").status_code == review
    added = client.post("/corpora/lab/members/add/", {"username": other.username, "role": "annotator"})
    assert added.status_code == members
    assert Membership.objects.filter(user=other).exists() is (members == 302)


def test_tabs_and_buttons_are_those_of_the_role() -> None:
    corpus = create_corpus("lab")
    html = signed_in(create_member(corpus, "annotator")).get("/corpora/lab/").content.decode()
    assert '"/corpora/lab/check/"' in html
    for closed in ("runs/", "records/", "snapshots/", "review/", "upload/"):
        assert f'"/corpora/lab/{closed}"' not in html
    assert "members/add" not in html


def test_a_member_who_does_not_exist_is_named() -> None:
    corpus = create_corpus("lab")
    client = signed_in(create_member(corpus, "manager"))
    answer = client.post("/corpora/lab/members/add/", {"username": "查无此人", "role": "annotator"}, follow=True)
    assert "查无此人" in answer.content.decode()
    answer = client.post("/corpora/lab/members/add/", {"username": "x", "role": "emperor"}, follow=True)
    assert answer.status_code == 200


def test_a_manager_removes_roles_but_not_their_own_as_manager() -> None:
    corpus = create_corpus("lab")
    boss, worker = create_member(corpus, "manager"), create_member(corpus, "annotator")
    client = signed_in(boss)
    theirs, mine = Membership.objects.get(user=worker), Membership.objects.get(user=boss)
    assert client.post("/corpora/lab/members/remove/", {"membership": theirs.pk}).status_code == 302
    assert client.post("/corpora/lab/members/remove/", {"membership": mine.pk}).status_code == 403
    assert list(Membership.objects.filter(corpus=corpus)) == [mine]


def test_the_guideline_is_text_whatever_it_holds() -> None:
    corpus = create_corpus("lab", guideline="First.\n\n<script>alert(1)</script> 依据")
    html = signed_in(create_member(corpus, "annotator")).get("/corpora/lab/").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; 依据" in html


# ---- policy, errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize(
    "path",
    [
        *("/", "/accounts/profile/", "/corpora/lab/", "/corpora/lab/check/", "/corpora/lab/review/"),
        *("/corpora/lab/clips/", "/corpora/lab/upload/", "/corpora/lab/runs/", "/corpora/lab/records/"),
        *("/corpora/lab/snapshots/", "/experiments/", "/nowhere/"),
    ],
)
def test_no_page_has_inline_script_or_style(path: str, language: str) -> None:
    corpus = create_corpus("lab", synthetic=True)
    client = signed_in(create_member(corpus, ("annotator", "reviewer", "manager")))
    client.cookies["django_language"] = language
    answer = client.get(path)
    assert answer.status_code == (404 if path == "/nowhere/" else 200)
    assert inline(answer.content.decode()) == []
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy


def test_an_error_is_a_page_for_people_and_a_line_for_htmx() -> None:
    client = signed_in(create_user())
    page = client.get("/corpora/none/")
    assert page.status_code == 404
    assert "There is nothing here for you" in page.content.decode()
    part = client.get("/corpora/none/", headers={"HX-Request": "true"})
    assert part.status_code == 404
    assert part.content.decode().startswith('<div class="notice notice--danger"')
    problem = client.get("/corpora/none/", headers={"Accept": "application/json"})
    assert problem.json()["code"] == "not-found"


def test_the_checking_page_says_everything_in_both_languages() -> None:
    corpus = create_corpus("lab")
    client = signed_in(create_member(corpus, "annotator"))
    for language, words in (("en", "Summarise"), ("zh-hans", "总结")):
        client.cookies["django_language"] = language
        html = client.get("/corpora/lab/check/").content.decode()
        assert words in html
        assert 'id="work-text" type="application/json"' in html

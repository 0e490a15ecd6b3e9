"""Who may do what on a corpus: the membership table asked through the role table of core/permissions.py."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from annotator.core.errors import Forbidden, NotFound
from annotator.core.permissions import ACTIONS, allowed

from .models import Corpus, Membership


def roles_on(user: Any, corpus: Corpus) -> set[str]:
    """The roles that `user` holds on `corpus`; `{"admin"}` for an admin."""
    if not user.is_authenticated or not user.is_active:
        return set()
    if user.is_superuser:
        return {"admin"}
    return set(Membership.objects.filter(user_id=user.pk, corpus_id=corpus.pk).values_list("role", flat=True))


def may(user: Any, corpus: Corpus, action: str) -> bool:
    """Whether `user` may do `action` on `corpus`; a token's scopes can only narrow what the roles allow."""
    scopes = getattr(user, "token_scopes", None)
    if scopes and action not in scopes:
        return False
    return allowed(roles_on(user, corpus), action)


def corpora_where(user: Any, action: str) -> QuerySet[Corpus]:
    """The corpora on which `user` may do `action`, as `may` decides it, in one query for all of them."""
    scopes = getattr(user, "token_scopes", None)
    if not user.is_authenticated or not user.is_active or (scopes and action not in scopes):
        return Corpus.objects.none()
    if user.is_superuser:
        return Corpus.objects.all()
    roles, _what = ACTIONS[action]
    held = Membership.objects.filter(user_id=user.pk, role__in=roles)
    return Corpus.objects.filter(pk__in=held.values("corpus_id"))


def require_scope(user: Any, *actions: str) -> None:
    """For what belongs to no one corpus: Forbidden to a token that was issued for none of `actions`."""
    scopes = getattr(user, "token_scopes", None)
    if scopes and not set(actions) & set(scopes):
        raise Forbidden(_("This token may not do that."))


def require(user: Any, corpus: Corpus, action: str) -> None:
    """Raise NotFound to a stranger of the corpus (nobody learns that it exists), Forbidden to a member
    whose roles, or whose token, do not allow `action`."""
    if may(user, corpus, action):
        return
    roles = roles_on(user, corpus)
    if not roles:
        raise NotFound(_("There is no such object, or you may not see it."))
    if allowed(roles, action):
        require_scope(user, action)
    raise Forbidden(_("Your role on the corpus “%(slug)s” does not allow this.") % {"slug": corpus.slug})


def corpus_for(user: Any, slug: str, action: str = "corpus.view") -> Corpus:
    """The corpus named `slug` if `user` may do `action` on it; NotFound or Forbidden otherwise."""
    corpus = Corpus.objects.filter(slug=slug).first()
    if corpus is None:
        raise NotFound(_("There is no such object, or you may not see it."))
    require(user, corpus, action)
    return corpus

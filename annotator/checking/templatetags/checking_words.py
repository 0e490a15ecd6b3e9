"""Codes of checking in the reader's words."""

from django import template

from annotator.checking import reasons

register = template.Library()


@register.filter
def reason_words(reason: str | None) -> str:
    """Why a clue was rejected: `{{ check.reason|reason_words }}`."""
    return reasons.in_words(reason or "")

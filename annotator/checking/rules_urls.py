"""Pages of how a corpus is checked: rules, terms, gold clips, standings, claims."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

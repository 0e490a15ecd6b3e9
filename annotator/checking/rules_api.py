"""REST of how a corpus is checked: rules, terms, gold clips, standings, claims of others."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

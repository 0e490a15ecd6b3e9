"""REST beside the checking page: comments, preferences, examples."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

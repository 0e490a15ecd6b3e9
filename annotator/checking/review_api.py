"""REST of review beside the decision itself."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

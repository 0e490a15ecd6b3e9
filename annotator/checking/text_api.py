"""REST of description and labels: vocabulary, translation."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

"""REST of the clips around a claimed clip."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

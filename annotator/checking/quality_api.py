"""REST of quality: agreement, figures of pre-labellers and annotators, dashboards."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

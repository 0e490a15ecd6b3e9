"""Pages of quality: agreement, pre-labellers, annotators, dashboards, my week."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

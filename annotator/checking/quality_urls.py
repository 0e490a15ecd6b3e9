"""Pages of quality: agreement, pre-labellers, annotators, dashboards, my week."""

from django.urls import URLPattern, path

from . import quality_views

urlpatterns: list[URLPattern] = [
    path("corpora/<slug:slug>/quality/", quality_views.quality, name="quality"),
    path("corpora/<slug:slug>/quality/<slug:name>.csv", quality_views.quality_csv, name="quality-csv"),
    path("corpora/<slug:slug>/dashboard/", quality_views.dashboard, name="dashboard"),
    path("corpora/<slug:slug>/dashboard/<slug:name>.csv", quality_views.dashboard_csv, name="dashboard-csv"),
    path("corpora/<slug:slug>/my-week/", quality_views.my_week, name="my-week"),
    path("corpora/<slug:slug>/my-week/days.csv", quality_views.my_week_csv, name="my-week-csv"),
]

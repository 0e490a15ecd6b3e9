"""Pages of snapshots."""

from django.urls import path

from . import views

app_name = "snapshots"
urlpatterns = [
    path("corpora/<slug:slug>/snapshots/", views.snapshot_list, name="list"),
    path("snapshots/<int:pk>/", views.snapshot_detail, name="detail"),
]

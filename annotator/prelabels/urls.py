"""Pages of prelabels."""

from django.urls import path

from . import pipeline_views, registry_views, views

app_name = "prelabels"
urlpatterns = [
    path("corpora/<slug:slug>/runs/", views.runs, name="runs"),
    path("corpora/<slug:slug>/models/", registry_views.models, name="models"),
    path("runs/<int:pk>/", views.run, name="run"),
    path("runs/<int:pk>/progress/", views.run_progress, name="progress"),
    path("runs/<int:pk>/cancel/", views.cancel, name="cancel"),
    path("runs/<int:pk>/pause/", views.pause, name="pause"),
    path("runs/<int:pk>/resume/", views.resume, name="resume"),
    path("runs/<int:pk>/retry/", views.retry, name="retry"),
    path("pipelines/", pipeline_views.all_pipelines, name="pipelines"),
]

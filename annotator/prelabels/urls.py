"""Pages of prelabels."""

from django.urls import path

from . import registry_views, views

app_name = "prelabels"
urlpatterns = [
    path("corpora/<slug:slug>/runs/", views.runs, name="runs"),
    path("corpora/<slug:slug>/models/", registry_views.models, name="models"),
    path("runs/<int:pk>/", views.run, name="run"),
    path("runs/<int:pk>/progress/", views.progress, name="progress"),
    path("runs/<int:pk>/cancel/", views.cancel, name="cancel"),
    path("runs/<int:pk>/retry/", views.retry, name="retry"),
]

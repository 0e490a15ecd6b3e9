"""Pages of experiments."""

from django.urls import path

from . import views

app_name = "experiments"
urlpatterns = [
    path("experiments/", views.run_list, name="list"),
    path("experiments/<int:pk>/", views.run_detail, name="detail"),
    path("experiments/<int:pk>/curve.json", views.curve, name="curve"),
    path("experiments/<int:pk>/cancel/", views.cancel, name="cancel"),
]

"""Pages of experiments."""

from django.urls import path

from . import checkpoint_views, launch_views, results_views, views

app_name = "experiments"
urlpatterns = [
    path("experiments/", views.run_list, name="list"),
    path("experiments/new/", launch_views.launch, name="launch"),
    path("experiments/estimates/<int:pk>/", launch_views.estimate, name="estimate"),
    path("experiments/results/", results_views.results, name="results"),
    path("experiments/results/table.<slug:form>", results_views.results_file, name="results-file"),
    path("experiments/checkpoints/<int:pk>/", checkpoint_views.checkpoint, name="checkpoint"),
    path("experiments/checkpoints/<int:pk>/promote/", checkpoint_views.promote, name="promote"),
    path("experiments/<int:pk>/", views.run_detail, name="detail"),
    path("experiments/<int:pk>/curve.json", views.curve, name="curve"),
    path("experiments/<int:pk>/cancel/", views.cancel, name="cancel"),
    path("experiments/<int:pk>/resume/", views.resume, name="resume"),
]

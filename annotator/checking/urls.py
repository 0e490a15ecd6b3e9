"""Pages of checking."""

from django.urls import URLPattern, path

from . import gate_views, quality_urls, records_views, review_views, rules_urls, views

app_name = "checking"
urlpatterns: list[URLPattern] = [
    path("corpora/<slug:slug>/check/", views.check, name="check"),
    path("corpora/<slug:slug>/review/", views.review, name="review"),
    path("corpora/<slug:slug>/records/", records_views.record_list, name="records"),
    path("corpora/<slug:slug>/gate/", gate_views.gate, name="gate"),
    path("corpora/<slug:slug>/gate/progress/", gate_views.progress, name="gate-progress"),
    path("corpora/<slug:slug>/gate/judge/", gate_views.judge, name="gate-judge"),
    path("corpora/<slug:slug>/gate/table.csv", gate_views.export, {"form": "csv"}, name="gate-csv"),
    path("corpora/<slug:slug>/gate/table.json", gate_views.export, {"form": "json"}, name="gate-json"),
    path("records/<int:pk>/", records_views.record_detail, name="record"),
    path("records/<int:pk>/adjudicate/", review_views.adjudicate, name="adjudicate"),
    path("corpora/<slug:slug>/auto-decisions/", review_views.auto_decisions, name="auto-decisions"),
]
urlpatterns += rules_urls.urlpatterns + quality_urls.urlpatterns

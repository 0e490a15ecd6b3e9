"""Pages of checking."""

from django.urls import URLPattern, path

from . import records_views, views

app_name = "checking"
urlpatterns: list[URLPattern] = [
    path("corpora/<slug:slug>/check/", views.check, name="check"),
    path("corpora/<slug:slug>/review/", views.review, name="review"),
    path("corpora/<slug:slug>/records/", records_views.record_list, name="records"),
    path("records/<int:pk>/", records_views.record_detail, name="record"),
]

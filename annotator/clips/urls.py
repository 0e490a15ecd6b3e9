"""Pages of clips."""

from django.urls import URLPattern, path

from . import clip_views, media_views, person_views, upload_views, views

app_name = "clips"
urlpatterns: list[URLPattern] = [
    path("corpora/<slug:slug>/", views.overview, name="corpus"),
    path("corpora/<slug:slug>/members/add/", views.member_add, name="member-add"),
    path("corpora/<slug:slug>/members/remove/", views.member_remove, name="member-remove"),
    path("corpora/<slug:slug>/person-rule/", person_views.rule, name="person-rule"),
    path("corpora/<slug:slug>/clips/", clip_views.clip_list, name="clips"),
    path("clips/<int:pk>/", clip_views.clip_page, name="clip"),
    path("clips/<int:pk>/flag/", clip_views.flag, name="flag"),
    path("clips/<int:pk>/person/", person_views.person, name="person"),
    path("clips/<int:pk>/withdraw/", clip_views.withdraw, name="withdraw"),
    path("corpora/<slug:slug>/upload/", upload_views.upload, name="upload"),
    path("uploads/<int:pk>/", upload_views.upload_state, name="upload-state"),
    path("uploads/<int:pk>/files/", upload_views.upload_file, name="upload-file"),
    path("uploads/files/<int:pk>/retry/", upload_views.retry, name="upload-retry"),
    path("media/<str:token>/<str:kind>", media_views.media_file, name="media"),
]

"""Pages of how a corpus is checked: rules, terms, gold clips, standings, claims."""

from django.urls import URLPattern, path

from . import gold_views, rules_views

urlpatterns: list[URLPattern] = [
    path("corpora/<slug:slug>/rules/", rules_views.rules_page, name="rules"),
    path("corpora/<slug:slug>/terms/", rules_views.terms_page, name="terms"),
    path("corpora/<slug:slug>/training/<int:pk>/", rules_views.training, name="training"),
    path("corpora/<slug:slug>/standing/", rules_views.standing_page, name="standing"),
    path("corpora/<slug:slug>/standings/", rules_views.standings_page, name="standings"),
    path("corpora/<slug:slug>/claims/", rules_views.held_page, name="held"),
    path("corpora/<slug:slug>/gold/", gold_views.gold_page, name="gold"),
    path("corpora/<slug:slug>/gold/plant/", gold_views.plant_all, name="gold-plant"),
    path("corpora/<slug:slug>/gold/<int:pk>/", gold_views.gold_item, name="gold-item"),
    path("clips/<int:pk>/plan/", rules_views.plan, name="plan"),
]

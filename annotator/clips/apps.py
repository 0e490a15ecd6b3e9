from django.apps import AppConfig


class ClipsConfig(AppConfig):
    name = "annotator.clips"

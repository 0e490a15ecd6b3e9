"""Reasons of failed files are stored in English and shown in the reader's language."""

from django.utils import translation

from annotator.clips.templatetags.clip_words import said, sentences
from models_ml.media.errors import CODES, MediaError


def test_every_sentence_of_a_media_error_has_its_translation() -> None:
    with translation.override("zh-hans"):
        told = sentences()
    assert set(told) == set(CODES.values())
    assert all(ours != english for english, ours in told.items())


def test_the_name_and_the_detail_stay_as_they_are() -> None:
    stored = str(MediaError("unreadable", "片段 1.mp4", "Invalid data"))
    with translation.override("zh-hans"):
        assert said(stored) == "片段 1.mp4: 该文件不是可读取的媒体文件 (Invalid data)"
    assert said("some other reason") == "some other reason"

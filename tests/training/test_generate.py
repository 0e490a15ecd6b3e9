"""Answers are the same whatever shares their batch, greedy or drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from tests.training import world
from training.data import Sample
from training.errors import UsageError
from training.evidence import open_media
from training.generate import (
    Draw,
    StopAtText,
    Trained,
    answer_batches,
    answers,
    batches_of,
    load_trained,
    timed_generation,
    with_overrides,
)
from training.schema import GenerateConfig


@pytest.fixture(scope="module")
def trained(fitted: Path) -> Trained:
    return load_trained(fitted, overrides=["generate.max_new_tokens=48"])


@pytest.fixture(scope="module")
def samples(media: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Clips with sound and pictures, with one of them, with neither, with subtitles of different lengths."""
    folder = tmp_path_factory.mktemp("odd")
    silent = world.write_clip(folder / "silent.mp4", 3, audio=False)
    voice = world.write_clip(folder / "voice.wav", 5, video=False)
    made = [Sample(f"clip_{i:02d}", "I am fine. " * (i % 3), "", open_media(media / f"clip_{i:02d}.mp4"))
            for i in range(5)]  # fmt: skip
    return [
        *made,
        Sample("silent", "", "", open_media(silent)),
        Sample("voice", "so it goes", "", open_media(voice)),
        Sample("words", "nothing to see, nothing to hear", "", None),
    ]


def _with(trained: Trained, **keys: Any) -> Trained:
    items = [f"generate.{key}={value}" for key, value in keys.items()]
    return Trained(trained.checkpoint, with_overrides(trained.config, items), trained.model, trained.tokenizer)


def test_a_batch_says_what_its_clips_say_one_by_one(trained: Trained, samples: list[Sample]) -> None:
    alone = answers(_with(trained, batch_size=1), samples)
    assert len(set(alone)) > 4
    for size in (3, 8):
        assert answers(_with(trained, batch_size=size), samples) == alone
    assert answers(_with(trained, batch_size=3), list(reversed(samples))) == list(reversed(alone))


def test_batches_are_of_like_length_the_longest_first(trained: Trained, samples: list[Sample]) -> None:
    from training.data import prompt_of

    batches = batches_of(_with(trained, batch_size=3), samples)
    assert sorted(i for batch in batches for i in batch) == list(range(len(samples)))
    lengths = [[len(prompt_of(trained.config, trained.tokenizer, samples[i]).ids) for i in batch] for batch in batches]
    flat = [length for batch in lengths for length in batch]
    assert flat == sorted(flat, reverse=True)
    assert [len(batch) for batch in batches] == [3, 3, 2]


def test_what_is_made_comes_batch_by_batch(trained: Trained, samples: list[Sample]) -> None:
    made = answer_batches(trained, samples, [[2, 0], [1]])
    assert next(made)[0] == [2, 0]
    indices, texts = next(made)
    assert (indices, texts) == ([1], answers(trained, samples[1:2]))


def test_a_draw_is_the_same_in_any_batch_and_another_with_another_seed(trained: Trained, samples: list[Sample]) -> None:
    drawn = {"sample": True, "temperature": 1.5, "top_p": 0.95, "max_new_tokens": 24}
    alone = answers(_with(trained, batch_size=1, **drawn), samples)
    assert answers(_with(trained, batch_size=8, **drawn), samples) == alone
    other = answers(_with(trained, seed=1, batch_size=8, **drawn), samples)
    assert sum(a != b for a, b in zip(alone, other, strict=True)) >= len(samples) // 2
    greedy = answers(_with(trained, max_new_tokens=24), samples)
    assert alone != greedy
    assert answers(_with(trained, sample=True, temperature=0, max_new_tokens=24), samples) == greedy
    assert answers(_with(trained, sample=True, top_p=0.0001, max_new_tokens=24), samples) == greedy


def test_a_draw_follows_the_shares_that_top_p_leaves() -> None:
    shares = torch.tensor([0.5, 0.3, 0.15, 0.05])
    clips = [f"clip {number}" for number in range(4000)]
    draw = Draw(GenerateConfig(sample=True, temperature=1.0, top_p=0.9, seed=3), clips)
    scores = shares.log().expand(len(clips), -1)
    left = draw(torch.zeros(len(clips), 0, dtype=torch.long), scores)  # type: ignore[arg-type]
    assert ((left > -torch.inf).sum(1) == 1).all()
    found = torch.bincount(left.argmax(1), minlength=4) / len(clips)
    expected = torch.tensor([0.5, 0.3, 0.15, 0.0]) / 0.95
    assert found[3] == 0
    assert torch.allclose(found, expected, atol=0.025)  # three standard errors of 4000 draws


def test_the_stop_sign_ends_its_own_row_only(trained: Trained) -> None:
    stop = StopAtText(trained.tokenizer, "###")

    def row(text: str) -> list[int]:
        return trained.tokenizer(text, add_special_tokens=False)["input_ids"][-6:]

    rows = [row("The person seems happy.###"), row("The person seems # # happy"), row("and so on and so ## #")]
    width = min(map(len, rows))
    ids = torch.tensor([own[-width:] for own in rows])
    assert stop(ids, torch.zeros(3, 1)).tolist() == [True, False, False]  # type: ignore[arg-type]


def test_habits_of_a_pretrained_folder_do_not_change_what_is_said(trained: Trained, samples: list[Sample]) -> None:
    before = answers(trained, samples[:2])
    trained.model.llm.generation_config = GenerationConfig(
        do_sample=True, temperature=0.7, top_k=5, repetition_penalty=5.0, eos_token_id=[2, 7], pad_token_id=0
    )
    again = Trained(trained.checkpoint, trained.config, trained.model, trained.tokenizer)
    assert answers(again, samples[:2]) == before
    assert trained.model.llm.generation_config.eos_token_id == [2, 7]  # what ends a text is kept
    trained.model.llm.generation_config.eos_token_id = [2]


def test_generation_is_timed_without_encoding_and_gives_the_same_texts(trained: Trained, samples: list[Sample]) -> None:
    timed = timed_generation(trained, samples, 4)
    assert timed["texts"] == answers(trained, samples)
    assert timed["clips"] == len(samples)
    assert timed["tokens"] > len(samples)
    assert timed["seconds"] > 0


def test_of_a_trained_run_only_how_it_is_generated_may_be_set(command: Any, fitted: Path, media: Path) -> None:
    words = ["generate", "--run", fitted, "--clip", media / "clip_02.mp4", "--set"]
    code, _, err = command(*words, "model.llm.layers=3")
    assert (code, "model.llm.layers=3" in err) == (2, True)
    code, said, _ = command(*words, "generate.max_new_tokens=3")
    assert code == 0
    assert 0 < len(said["text"]) < 40
    with pytest.raises(UsageError, match=r"data\.frames"):
        load_trained(fitted, overrides=["data.frames=4"])

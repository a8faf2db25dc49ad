"""The words a reader sees for names and durations."""

from __future__ import annotations

import pytest

from clusterlm_jax.report import words


@pytest.mark.parametrize(("layer", "said"), [("0", "embedding (0)"), ("12", "layer 12"), ("final_norm", "final norm")])
def test_a_layer_is_named(layer: str, said: str) -> None:
    assert words.layer_words(layer) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (121.2, "2 min 1 s"), (7384.0, "2 h 3 min")],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(("number", "said"), [(0, "0 layers"), (1, "1 layer"), (2, "2 layers"), (8800, "8,800 layers")])
def test_what_is_counted_agrees_with_its_number(number: int, said: str) -> None:
    assert words.counted(number, "layer") == said


def test_only_the_first_letter_is_made_large() -> None:
    assert words.capitalised("task F1 and kNN") == "Task F1 and kNN"
    assert words.capitalised("") == ""


def test_every_label_and_reducer_has_words() -> None:
    assert set(words.LABELS) <= words.LABEL_WORDS.keys()
    assert words.SHORT_REDUCERS.keys() == words.REDUCERS.keys() < words.SPACES.keys()

"""Hendel et al.'s files: only pairs of one word to one word are kept, and outputs are spread."""

from __future__ import annotations

import collections
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterlm_jax.data.natural.hendel import read_pairs, spread
from clusterlm_jax.records import UserError

FILE = "translation/en_fr.json"


def write(directory: Path, content, relative: str = FILE) -> Path:
    path = directory / relative
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return directory


def test_pairs_of_one_word_to_one_word_are_kept_in_order(tmp_path):
    given = {
        "en": "fr",  # the header of the table
        "dog": "chien",
        "train": "train",
        "Paris": "paris",
        "ice cream": "glace",
        "potato": "pomme de terre",
        "": "rien",
        "nothing": " ",
        " cat ": "chat\n",
        "cat": "chatte",
        "today": "aujourd'hui",
        "in": "en",  # "en" is half of the header, but on its own it is a word like any other
    }
    found = read_pairs(write(tmp_path, given), FILE)
    assert list(found.items()) == [("dog", "chien"), ("cat", "chat"), ("today", "aujourd'hui"), ("in", "en")]


def test_the_header_is_recognised_by_the_file_s_name(tmp_path):
    """In a file of another name, the same pair is data."""
    relative = "knowledge/location_continent.json"
    write(tmp_path, {"location": "continent", "en": "fr"}, relative)
    assert read_pairs(tmp_path, relative) == {"en": "fr"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, f"has no file {FILE}; data.mappings_dir must be Hendel et al.'s folder 'data'"),
        ("", "is empty"),
        ("{", "is damaged (line 1"),
        ([["dog", "chien"]], "holds a list; it must hold one flat JSON object"),
        ({"dog": ["chien"]}, "has ['chien'] as the output of 'dog'; it must hold one flat JSON object"),
    ],
)
def test_another_form_is_refused(tmp_path, content, sentence):
    if content is not None:
        write(tmp_path, content)
    with pytest.raises(UserError, match=re.escape(sentence)):
        read_pairs(tmp_path, FILE)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(UserError, match=r"There is no directory .*none \(data.mappings_dir\)"):
        read_pairs(tmp_path / "none", FILE)


PAIRS = st.dictionaries(st.integers(0, 99).map(str), st.sampled_from("abcdefg"), max_size=40)


@given(PAIRS, st.integers(0, 45), st.integers(0, 9))
def test_outputs_are_as_even_as_the_pool_allows(pairs, count, seed):
    """No output has two pairs more than another, unless the other has no more pairs to give.

    Breaks when a frequent output is drawn more often than a rare one.
    """
    drawn = spread(pairs, count, np.random.default_rng(seed))
    assert list(drawn.items()) == [pair for pair in pairs.items() if pair[0] in drawn]
    assert len(drawn) == min(count, len(pairs))
    pool, found = collections.Counter(pairs.values()), collections.Counter(drawn.values())
    most = max(found.values(), default=0)
    assert sum(min(number, most - 1) for number in pool.values()) < len(drawn) or most == 0
    assert all(found[output] >= min(number, most - 1) for output, number in pool.items())


@given(PAIRS, st.integers(0, 45), st.integers(0, 9))
def test_a_seed_draws_the_same_again(pairs, count, seed):
    assert spread(pairs, count, np.random.default_rng(seed)) == spread(pairs, count, np.random.default_rng(seed))


def test_no_place_in_the_file_and_no_frequent_output_is_special():
    """Two of four outputs are drawn, so each is drawn half of the time; the eight inputs of `a` are equally likely.

    Breaks when the order of outputs follows the file, or the order in which a shuffle first meets them (a frequent
    output would come first).
    """
    draws = 2000
    pairs = {f"a{number}": "a" for number in range(8)} | {f"b{number}": f"b{number}" for number in range(3)}
    rng = np.random.default_rng(0)
    times = collections.Counter(x for _ in range(draws) for x in spread(pairs, 2, rng))
    expected = {x: 2 / 4 * (1 / 8 if y == "a" else 1) for x, y in pairs.items()}
    for x, share in expected.items():  # 4 standard errors
        assert times[x] / draws == pytest.approx(share, abs=4 * (share * (1 - share) / draws) ** 0.5), x

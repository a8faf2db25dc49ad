"""A share of the odd command lines and damaged files: one sentence, no traceback, nothing changed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from clusterlm_jax.records import UserError
from trials import command_lines, fuzz, own_files


@pytest.mark.slow
def test_what_is_odd_or_damaged_is_refused_in_a_sentence_or_does_no_harm(capsys):
    found = fuzz.fuzz(lines=40, own=50, foreign=3, seed=1)
    assert fuzz.report(found) == 0, capsys.readouterr().err
    assert sum(count.total() for count in found.values()) > 100
    assert sum(count["refused"] for count in found.values()) > 50


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, "harmless"),
        (UserError("The key is 3; allowed: 4."), "refused"),
        (UserError("two\nlines"), "It told"),
        (UserError(""), "It told"),
        (KeyError("model"), "KeyError: 'model'"),
        (BaseException("a panic"), "a panic"),
    ],
)
def test_what_counts_as_a_failure(error, told):
    def case(rng: random.Random, folder: Path) -> None:
        if error is not None:
            raise error

    assert told in fuzz.outcome(case, random.Random(0))


def test_a_refusal_that_leaves_something_behind_is_a_failure(tmp_path, monkeypatch):
    def leaves(argv: list[str]) -> int:
        (tmp_path / "left").touch()
        print("clusterlm_jax: no.", file=sys.stderr)
        return 2

    monkeypatch.setattr(command_lines.main, "main", leaves)
    with pytest.raises(AssertionError, match="left"):
        command_lines.run(tmp_path, [])


def test_the_shares_of_the_programs_own_files_are_a_hundred():
    assert sum(share for share, _ in own_files.CASES.values()) == 100

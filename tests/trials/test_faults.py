"""The campaign: a few of its faults, and that it would notice what is lost."""

from __future__ import annotations

import numpy as np
import pytest

from trials import faults, runs


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost(tmp_path, capsys):
    """The three experiments that train are killed in their own tests; this one's runs take the fewest seconds."""
    assert faults.campaign(kills=3, tries=0, seed=0, experiments=["states"], place=tmp_path) == 0
    told = capsys.readouterr().out
    assert "Faults tried: 3, 3 of them kills. Not survived: 0. Rows lost: 0. Rows changed: 0." in told
    assert (
        sum(int(line.split(" | ")[-1].rstrip(" |")) for line in told.splitlines() if line.startswith("| states")) == 3
    )


@pytest.fixture
def trial(tmp_path, monkeypatch) -> runs.Trial:
    """Of a run that ends at once, and has left what `clean` says."""
    workdir = tmp_path / "run"
    (workdir / "embeddings").mkdir(parents=True)
    (workdir / "config.json").write_text("{}")
    (workdir / "scores.csv").write_text("a\nb\nb\n")
    (workdir / "embeddings" / "layer=0.npz").write_bytes(b"\xff")
    (workdir / "env.json").write_text("is not compared")
    monkeypatch.setattr(runs, "Attempt", lambda *_: None)
    monkeypatch.setattr(runs, "check_end", lambda *_: None)
    return runs.Trial(workdir, (), runs.rows_of(workdir), 1.0, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "content", "lost", "changed"),
    [
        ("scores.csv", b"b\na\nb\n", 0, 0),
        ("scores.csv", b"a\nb\n", 1, 0),
        ("scores.csv", b"a\nb\nb\nb\n", 0, 1),
        ("scores.csv", b"a\nb\nc\n", 1, 1),
        ("embeddings/layer=0.npz", b"\xfe", 1, 1),
        ("env.json", b"", 0, 0),
    ],
)
def test_every_row_counts(trial, name, content, lost, changed):
    (trial.workdir / name).write_bytes(content)
    assert trial.finish() == (lost, changed)


@pytest.mark.parametrize(
    ("code", "told", "fine"),
    [
        (0, "", True),
        (2, "clusterlm_jax: no.\n", True),
        (2, "no\n", False),
        (2, "Traceback\nclusterlm_jax: no.\n", False),
        (1, "clusterlm_jax: no.\n", False),
    ],
)
def test_an_end_without_a_sentence_is_a_failure(code, told, fine):
    class Ended:
        def end(self) -> int:
            return code

    Ended.told = told
    if fine:
        runs.check_end(Ended(), {0, 2})
    else:
        with pytest.raises(runs.NotSurvived):
            runs.check_end(Ended(), {0, 2})

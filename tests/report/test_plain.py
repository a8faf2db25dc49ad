"""The sentences say what the rows say, and turn when the rows turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.plain import in_plain_words
from clusterlm_jax.report.reading import mean_run, read_runs
from tests.report.work_directories import like_the_paper, metric_records, score_rows, write_metrics, write_rows


def told(workdir: Path, value) -> list[str]:
    write_rows(workdir, score_rows(value))
    write_metrics(workdir, metric_records())
    return in_plain_words(mean_run(read_runs(workdir)))


def lost_in_the_input(row: ScoreRow) -> float:
    """No clusters by task but without the input symbol, where they come with training."""
    if row.score == "f1" and row.label == "task":
        return 0.2 + 0.5 * (row.reducer == "input_removed") * (row.epoch > 4)
    return like_the_paper(row)


def lost_altogether(row: ScoreRow) -> float:
    return 0.2 if row.score == "f1" and row.label == "task" else like_the_paper(row)


def test_as_in_the_paper(tmp_path):
    clusters, surface, across, why, _, finer, hard, neighbours = told(tmp_path, like_the_paper)
    assert "at most 0.92 at the last epoch (layer 3), after 0.15 at epoch 0" in clusters
    assert "are seen in them" in clusters
    assert "bag of instruction symbols 0.30, untrained model 0.15, distributions dealt anew 0.25" in surface
    assert "similar instructions do not explain it" in surface
    assert "92% of a validation instance's nearest training instances of other distributions share its task" in across
    assert "(epoch 0: 15%; by chance 10%)" in across and "accuracy 0.92 (control task 0.25)" in across
    assert "the input symbol explains 0.20 to 0.53" in why
    assert "reach an F1 of 0.92 (layer 3)" in finer
    assert "80% are clustered with their own task rather than their original's, 10% the other way round" in hard
    assert "92% share its task" in neighbours


def by_surface(row: ScoreRow) -> float:
    return 0.9 if row.label == "regrouped_task" else like_the_paper(row)


def test_surface_that_scores_as_much_is_not_explained_away(tmp_path):
    _, surface, *_ = told(tmp_path, by_surface)
    assert "similar instructions could explain it" in surface


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lost_in_the_input, "beneath the input symbol, clusters by task do grow"),
        (lost_altogether, "clusters by task do not grow"),
    ],
)
def test_what_the_paper_does_not_say(tmp_path, value, words):
    clusters, _, _, _, beneath, *_ = told(tmp_path, value)
    assert "are not seen in them" in clusters
    assert words in beneath


def test_what_was_not_run_is_left_out(tmp_path):
    kept = [row for row in score_rows(like_the_paper) if row.reducer == "tsne" and row.run == "main"]
    write_rows(tmp_path, [row for row in kept if not row.score.startswith("hard_")])
    write_metrics(tmp_path, metric_records())
    sentences = in_plain_words(mean_run(read_runs(tmp_path)))
    assert len(sentences) == 2
    assert not any("variance" in sentence or "neighbours" in sentence for sentence in sentences)

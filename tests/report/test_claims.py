"""Verdicts follow the numbers: each flips when the rows say the opposite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.claims import CLAIMS, NOT_RUN, NOT_SEEN, SAME, Judgement, judge
from clusterlm_jax.report.reading import read_run
from tests.report.work_directories import (
    like_the_paper,
    metric_records,
    score_rows,
    write_facts,
    write_metrics,
    write_rows,
)


def only(change: Callable[[ScoreRow, float], float], **where: str) -> Callable[[ScoreRow], float]:
    """The paper's numbers, changed in the rows named."""

    def value(row: ScoreRow) -> float:
        paper = like_the_paper(row)
        return change(row, paper) if all(getattr(row, key) == given for key, given in where.items()) else paper

    return value


def judged(workdir: Path, value=like_the_paper, records: list[dict] | None = None) -> tuple[Judgement, ...]:
    write_rows(workdir, score_rows(value))
    write_metrics(workdir, metric_records() if records is None else records)
    write_facts(workdir)
    return judge(read_run(workdir))


def test_a_run_like_the_paper_agrees_with_every_claim(tmp_path: Path) -> None:
    judgements = judged(tmp_path)
    assert [judgement.verdict for judgement in judgements] == [SAME] * len(CLAIMS)
    assert all(judgement.numbers for judgement in judgements)


FLAT = {label: only(lambda row, paper: 0.3, label=label) for label in ("task", "distribution", "distribution_mapping")}
OPPOSITES = {
    "improve throughout": FLAT["task"],
    "saturate": only(lambda row, paper: 0.8 * paper, label="task"),
    "Higher layers": only(
        lambda row, paper: paper if row.epoch == 0 or row.layer == "final_norm" else 0.9 - 0.2 * int(row.layer),
        label="task",
    ),
    "obvious clusters": FLAT["distribution"],
    "together are strong": FLAT["distribution_mapping"],
    "better on validation": only(lambda row, paper: 0.95 * paper, label="distribution_mapping", split="validation"),
    "Hard examples": only(lambda row, paper: 0.8 * paper, label="task", split="training_subset"),
    "persist": only(lambda row, paper: paper if row.epoch <= 5 else 0.5 * paper, label="task", split="validation"),
    "nearest training neighbours": only(
        lambda row, paper: 0.1 + 0.01 * row.epoch if row.layer == "0" else 0.1, score="knn_accuracy"
    ),
    "correlate": only(lambda row, paper: 1 - paper, label="task"),
}


@pytest.mark.parametrize("words", OPPOSITES)
def test_a_verdict_flips_when_the_rows_say_the_opposite(tmp_path: Path, words: str) -> None:
    (verdict,) = (
        judgement.verdict for judgement in judged(tmp_path, OPPOSITES[words]) if words in judgement.claim.paper
    )
    assert verdict == NOT_SEEN


@pytest.mark.parametrize("split", ["training_subset", "validation"])
def test_both_splits_must_improve(tmp_path: Path, split: str) -> None:
    assert judged(tmp_path, only(lambda row, paper: 0.3, label="task", split=split))[0].verdict == NOT_SEEN


def abrupt_rise(workdir: Path, change: Callable[[dict], dict]) -> str:
    judgements = judged(workdir, records=[record | change(record) for record in metric_records()])
    (verdict,) = (judgement.verdict for judgement in judgements if "rises abruptly" in judgement.claim.paper)
    return verdict


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda record: {}, SAME),
        (lambda record: {"validation_accuracy": 0.1 + 0.1 * record["epoch"]}, NOT_SEEN),  # rises from the start
        (lambda record: {"validation_accuracy": 0.02}, NOT_SEEN),  # never rises
        (lambda record: {"training_loss": 3.0 + 0.1 * record["epoch"]}, NOT_SEEN),  # the loss does not fall
        (lambda record: {"training_loss": None}, NOT_RUN),
    ],
)
def test_the_abrupt_rise_needs_a_flat_start_a_rise_and_a_falling_loss(tmp_path: Path, change, verdict: str) -> None:
    assert abrupt_rise(tmp_path, change) == verdict


def test_the_numbers_beside_a_verdict_are_the_run_s(tmp_path: Path) -> None:
    """Mean of the formula over blocks 1, 2, 3 at the first and the last epoch, worked out by hand."""
    numbers = judged(tmp_path)[0].numbers
    last = sum(0.15 + (0.92 - 0.15) * (0.4 + 0.6 * depth) for depth in (1 / 3, 2 / 3, 1)) / 3
    assert f"Validation: 0.15 (epoch 0) to {last:.2f} (epoch 8)." in numbers
    assert any(
        "last epoch (8)" in number and "input symbol 0.53, 0.37, 0.20; task 0.27, 0.43, 0.60" in number
        for number in numbers
    ), "the variance shares stand beside the claim about task clusters"


def test_a_claim_without_its_rows_was_not_run(tmp_path: Path) -> None:
    """Without the neighbours only their claim is open; with nothing at all every one is, each with a reason."""
    write_rows(tmp_path, [row for row in score_rows(like_the_paper) if not row.score.startswith("knn")])
    write_metrics(tmp_path, metric_records())
    write_facts(tmp_path)
    open_claims = [judgement for judgement in judge(read_run(tmp_path)) if judgement.verdict == NOT_RUN]
    assert [judgement.claim.where for judgement in open_claims] == ["3.3, figure 4"]
    write_rows(tmp_path, [])
    (tmp_path / "metrics.jsonl").unlink()
    judgements = judge(read_run(tmp_path))
    assert {judgement.verdict for judgement in judgements} == {NOT_RUN}
    assert all(judgement.numbers[0].startswith("Not run: ") for judgement in judgements)


def test_an_accuracy_that_never_moves_leaves_the_correlation_open(tmp_path: Path) -> None:
    records = [record | {"validation_accuracy": 0.04} for record in metric_records()]
    assert judged(tmp_path, records=records)[-1].verdict == NOT_RUN


def test_every_claim_prints_its_source_and_its_rule() -> None:
    for claim in CLAIMS:
        assert claim.where[0] in "3G" and claim.rule.endswith(".") and claim.paper.endswith(".")

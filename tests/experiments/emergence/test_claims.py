"""Verdicts follow the numbers: each flips when the rows say the opposite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clusterlm_jax.experiments.emergence.claims import CLAIMS
from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.claims import MIXED, NOT_RUN, NOT_SEEN, SAME, Judgement, judge
from clusterlm_jax.report.reading import read_main
from tests.report import work_directories as made


def only(change: Callable[[ScoreRow, float], float], **where: str) -> Callable[[ScoreRow], float]:
    """The paper's numbers, changed in the rows named."""

    def value(row: ScoreRow) -> float:
        paper = made.like_the_paper(row)
        return change(row, paper) if all(getattr(row, key) == given for key, given in where.items()) else paper

    return value


def judged(workdir: Path, value=made.like_the_paper, records: list[dict] | None = None) -> tuple[Judgement, ...]:
    made.write_rows(workdir, made.score_rows(value))
    made.write_metrics(workdir, made.metric_records() if records is None else records)
    made.write_facts(workdir)
    return judge(CLAIMS, read_main(workdir))


def test_a_run_like_the_paper_agrees_with_every_claim(tmp_path: Path) -> None:
    judgements = judged(tmp_path)
    assert {judgement.claim.where: judgement.verdict for judgement in judgements if judgement.verdict != SAME} == {
        "G.2, figure 11": NOT_RUN,
        "B.1, figure 14": NOT_RUN,
        "ours": NOT_SEEN,
    }
    assert all(judgement.numbers and not judgement.by_part for judgement in judgements)


def beneath(row: ScoreRow) -> float:
    """As the paper, with clusters by task that are clearer without the input symbol."""
    hidden = row.reducer == "input_removed" and row.label == "task" and row.score == "f1" and row.epoch > 4
    return 0.99 if hidden else made.like_the_paper(row)


def test_three_seeds_like_the_paper_agree_with_every_claim(tmp_path: Path) -> None:
    judgements = judge(CLAIMS, read_main(made.write_run(tmp_path, beneath, seeds=(0, 1, 2), shared_mappings=3)))
    assert [judgement.verdict for judgement in judgements] == [SAME] * len(CLAIMS)
    for judgement in judgements:
        assert judgement.by_part == ({} if judgement.claim.all_seeds else dict.fromkeys("012", (SAME, ())))


@pytest.mark.parametrize(
    ("flat_in", "verdict"), [((0,), MIXED), ((1, 2), MIXED), ((0, 1, 2), NOT_SEEN)], ids=["one", "two", "all"]
)
def test_seeds_that_do_not_agree_are_mixed(tmp_path: Path, flat_in: tuple[int, ...], verdict: str) -> None:
    """Task clusters that never rise in some seeds; a verdict by the mean alone would take no notice of one of them."""

    def value(row: ScoreRow) -> float:
        return 0.3 if row.seed in flat_in and row.label == "task" else made.like_the_paper(row)

    rows = [row for seed in (0, 1, 2) for row in made.score_rows(value, seed=seed)]
    made.write_rows(tmp_path, [row for row in rows if row.label == "task" and row.score == "f1"])
    judgement = judge(CLAIMS[:1], read_main(tmp_path))[0]
    assert judgement.verdict == verdict
    assert judgement.by_part == {str(seed): (NOT_SEEN if seed in flat_in else SAME, ()) for seed in (0, 1, 2)}


def test_a_seed_that_was_not_run_leaves_the_verdict_open(tmp_path: Path) -> None:
    rows = [row for seed in (0, 1) for row in made.score_rows(made.like_the_paper, seed=seed)]
    made.write_rows(tmp_path, [row for row in rows if row.seed == 0 or not row.score.startswith("knn")])
    made.write_metrics(tmp_path, [record for seed in (0, 1) for record in made.metric_records(seed=seed)])
    (judgement,) = (j for j in judge(CLAIMS, read_main(tmp_path)) if j.claim.where == "3.3, figure 4")
    assert judgement.by_part == {"0": (SAME, ()), "1": (NOT_RUN, ())} and judgement.verdict == MIXED


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
    "Hard examples": only(lambda row, paper: 0.5, score="hard_with_own"),
    "similar instructions alone": only(lambda row, paper: 0.9, label="regrouped_task"),
    "learns to identify tasks": only(lambda row, paper: paper if row.epoch > 4 else 0.15, label="task", score="f1"),
    "from different distributions": only(lambda row, paper: 0.15, score="across", label="task"),
    "nested": only(lambda row, paper: 5.0, score="tree_clusters", label="distribution"),
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


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda row, paper: beneath(row), SAME),
        (lambda row, paper: 0.99 if row.reducer == "input_removed" else paper, NOT_SEEN),  # from the start
        (lambda row, paper: 0.97 * paper, NOT_SEEN),  # grows, but no higher than the states as they are
    ],
)
def test_clusters_beneath_the_input_symbol_must_grow_and_be_clearer(tmp_path: Path, change, verdict: str) -> None:
    *_, ours = judged(tmp_path, only(change, label="task", score="f1"))
    assert (ours.claim.ours, ours.verdict) == (True, verdict)
    if verdict == SAME:
        last = sum(0.15 + (0.92 - 0.15) * (0.4 + 0.6 * depth) for depth in (1 / 3, 2 / 3, 1)) / 3
        assert ours.numbers == (
            f"Validation, mean of the blocks: 0.10 (epoch 0) to 0.99 (epoch 8), highest 0.99 (layer 1); "
            f"as they are {last:.2f}.",
        )


@pytest.mark.parametrize("split", ["training_subset", "validation"])
def test_both_splits_must_improve(tmp_path: Path, split: str) -> None:
    assert judged(tmp_path, only(lambda row, paper: 0.3, label="task", split=split))[0].verdict == NOT_SEEN


def abrupt_rise(workdir: Path, change: Callable[[dict], dict]) -> str:
    judgements = judged(workdir, records=[record | change(record) for record in made.metric_records()])
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


def test_the_numbers_of_a_verdict_are_the_run_s(tmp_path: Path) -> None:
    """Mean of the formula over blocks 1, 2, 3 at the first and the last epoch, worked out by hand."""
    numbers = judged(tmp_path)[0].numbers
    last = sum(0.15 + (0.92 - 0.15) * (0.4 + 0.6 * depth) for depth in (1 / 3, 2 / 3, 1)) / 3
    assert f"Validation: 0.15 (epoch 0) to {last:.2f} (epoch 8)." in numbers
    assert any(
        "last epoch (8)" in number and "input symbol 0.53, 0.37, 0.20; task 0.27, 0.43, 0.60" in number
        for number in numbers
    ), "the claim about task clusters also gives the variance shares"


def test_a_claim_says_one_thing_once(tmp_path: Path) -> None:
    """The shares of variance hardly move late in training: those of the best epoch would be the same list again."""
    (sentence,) = (number for number in judged(tmp_path)[0].numbers if number.startswith("Variance"))
    assert "last epoch (8)" in sentence


def test_a_claim_without_its_rows_was_not_run(tmp_path: Path) -> None:
    """Without the neighbours only their claim is open; with nothing at all every one is, each with a reason."""
    made.write_rows(tmp_path, [row for row in made.score_rows(made.like_the_paper) if not row.score.startswith("knn")])
    made.write_metrics(tmp_path, made.metric_records())
    made.write_facts(tmp_path)
    open_claims = [judgement for judgement in judge(CLAIMS, read_main(tmp_path)) if judgement.verdict == NOT_RUN]
    assert [judgement.claim.where for judgement in open_claims] == ["3.3, figure 4", "G.2, figure 11", "B.1, figure 14"]
    made.write_rows(tmp_path, [])
    (tmp_path / "metrics.jsonl").unlink()
    judgements = judge(CLAIMS, read_main(tmp_path))
    assert {judgement.verdict for judgement in judgements} == {NOT_RUN}
    assert all(judgement.numbers[0].startswith("Not run: ") for judgement in judgements)


def test_an_accuracy_that_never_moves_leaves_the_correlation_open(tmp_path: Path) -> None:
    records = [record | {"validation_accuracy": 0.04} for record in made.metric_records()]
    (verdict,) = (j.verdict for j in judged(tmp_path, records=records) if j.claim.where == "G.4, figure 15")
    assert verdict == NOT_RUN


def test_every_claim_prints_its_source_and_its_rule() -> None:
    for claim in CLAIMS:
        assert claim.rule.endswith(".") and claim.paper.endswith("?" if claim.ours else ".")
        assert claim.where == "ours" if claim.ours else claim.where[0] in "3BG"
    assert [claim.ours for claim in CLAIMS] == sorted(claim.ours for claim in CLAIMS), "ours come last"
    assert len({claim.paper for claim in CLAIMS}) == len(CLAIMS)

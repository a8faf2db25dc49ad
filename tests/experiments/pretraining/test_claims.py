"""Claims about the three starts: each verdict follows its rule, seed by seed."""

from __future__ import annotations

from pathlib import Path

from clusterlm_jax.experiments.pretraining.claims import CLAIMS
from clusterlm_jax.experiments.pretraining.starts import read_starts
from clusterlm_jax.report.claims import MIXED, NOT_RUN, NOT_SEEN, SAME, judge
from tests.experiments.pretraining.directories import EPOCHS, like_the_paper, metric_records, score_rows, write_starts


def verdicts(workdir: Path) -> list[str]:
    return [judgement.verdict for judgement in judge(CLAIMS, read_starts(workdir))]


def test_claims_that_hold_and_claims_that_do_not(tmp_path):
    """The same curves under exchanged names turn every verdict about them."""
    turned = {"task_id": "none", "none": "task_id", "instruction": "instruction"}
    assert verdicts(write_starts(tmp_path / "as the paper")) == [SAME] * 4
    records = metric_records(lambda start, seed, epoch: like_the_paper(turned[start], seed, epoch))
    worse = write_starts(tmp_path / "turned", records, score_rows(rises=False))
    assert verdicts(worse) == [NOT_SEEN] * 4


def test_a_tie_is_not_faster_and_a_hair_is_not_higher(tmp_path):
    def tied(start: str, seed: int, epoch: int) -> float:
        return like_the_paper("none", seed, epoch) + 0.005 * (start == "task_id" and epoch == EPOCHS)

    assert verdicts(write_starts(tmp_path / "run", metric_records(tied)))[1:] == [NOT_SEEN] * 3


def test_seeds_that_disagree_are_mixed(tmp_path):
    def one_other(start: str, seed: int, epoch: int) -> float:
        return like_the_paper(
            {"task_id": "none", "none": "task_id"}.get(start, start) if seed == 1 else start, seed, epoch
        )

    judged = judge(CLAIMS, read_starts(write_starts(tmp_path / "run", metric_records(one_other))))
    assert [judgement.verdict for judgement in judged] == [SAME, MIXED, MIXED, MIXED]
    assert {seed: verdict for seed, (verdict, _) in judged[1].by_part.items()} == {"0": SAME, "1": NOT_SEEN, "2": SAME}


def test_what_has_not_ended_is_not_judged(tmp_path):
    records = [r for r in metric_records() if r["run"] != "none/finetune" or r["epoch"] <= 8]
    assert verdicts(write_starts(tmp_path / "run", records)) == [SAME, NOT_RUN, NOT_RUN, SAME]


def test_before_anything_is_trained_nothing_is_judged(tmp_path):
    assert verdicts(write_starts(tmp_path / "run", [], [], seeds=(0,))) == [NOT_RUN] * 4


def test_one_seed_is_judged_alone(tmp_path):
    assert verdicts(write_starts(tmp_path / "run", seeds=(0,))) == [SAME] * 4


def test_fine_tunings_of_an_untrained_model_are_not_judged(tmp_path):
    """Where task-ID accuracy never rises, epoch 0 is the best of pre-training. Breaks when it passes for a start."""
    judged = judge(CLAIMS, read_starts(write_starts(tmp_path / "task IDs", seeds=(0,), chosen=lambda *_: 0)))
    assert [judgement.verdict for judgement in judged] == [SAME, NOT_RUN, NOT_RUN, NOT_RUN]
    assert judged[1].numbers == (
        "Not run: no epoch of task-ID pre-training is better than the untrained model, which was fine-tuned (seed 0).",
    )


def test_one_such_seed_is_not_judged(tmp_path):
    starts = read_starts(write_starts(tmp_path / "run", chosen=lambda start, seed: 5 * (seed != 1)))
    (faster,) = (judgement for judgement in judge(CLAIMS, starts) if "faster" in judgement.claim.paper)
    assert {seed: verdict for seed, (verdict, _) in faster.by_part.items()} == {"0": SAME, "1": NOT_RUN, "2": SAME}
    assert "which was fine-tuned (seed 1)" in faster.numbers[0]

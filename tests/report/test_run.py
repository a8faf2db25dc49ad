"""A run: what is chosen is chosen by its rule, and what a page asks for comes from the right rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import Key, NotRun, Run, measured
from clusterlm_jax.report.words import NULLS
from tests.report import work_directories as made

Value = Callable[[ScoreRow], float]


def told_apart(row: ScoreRow) -> float:
    """Every null differs by layer and epoch, so that a number from the wrong cell shows."""
    if row.label in made.NULL_LABELS and row.run == "main":
        layer = 9 if row.layer == "final_norm" else int(row.layer)
        return 0.1 * made.NULL_LABELS.index(row.label) + 0.01 * layer + 0.001 * row.epoch
    return made.like_the_paper(row)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_with(tmp_path_factory.mktemp("run"), told_apart)


def run_with(
    workdir: Path, value: Value, best: int | None = None, keep: Callable[[ScoreRow], bool] = lambda row: True
) -> Run:
    made.write_rows(workdir, [row for row in made.score_rows(value) if keep(row)])
    made.write_metrics(workdir, made.metric_records())
    if best is not None:
        made.write_facts(workdir, best)
    return read_main(workdir)


def test_the_layers_are_in_the_order_of_the_model(run: Run) -> None:
    assert run.layers == ("0", "1", "2", "3", "final_norm")
    assert (run.indices, run.blocks, run.top) == (("0", "1", "2", "3"), ("1", "2", "3"), "3")


def test_more_than_ten_layers_are_ordered_by_number(tmp_path: Path) -> None:
    made.write_rows(
        tmp_path, [row for row in made.score_rows(lambda row: 0.5, epochs=1, blocks=11) if row.label == "task"]
    )
    assert read_main(tmp_path).blocks == tuple(str(block) for block in range(1, 12))


def test_the_best_epoch_is_the_checkpoints_or_the_earliest_most_accurate(tmp_path: Path) -> None:
    assert run_with(tmp_path, made.like_the_paper).best_epoch == 5  # of metric_records
    made.write_facts(tmp_path, best=7)
    assert read_main(tmp_path).best_epoch == 7


def test_a_training_goes_as_far_as_configured(tmp_path: Path) -> None:
    """3 of 40 epochs; without a configuration, what is there is all."""
    made.write_metrics(tmp_path, made.metric_records(epochs=4))
    assert (read_main(tmp_path).trained, read_main(tmp_path).whole) == (3, 3)
    (tmp_path / "config.json").write_text('{"train": {"epochs": 40}}')
    assert (read_main(tmp_path).trained, read_main(tmp_path).whole) == (3, 40)
    (tmp_path / "metrics.jsonl").unlink()
    assert read_main(tmp_path).trained == -1


def test_the_reducer_is_the_better_one_from_the_best_epoch_on(tmp_path: Path) -> None:
    """t-SNE is far better before the best epoch and slightly worse from it on: a mean over all epochs would take it."""

    def value(row: ScoreRow) -> float:
        return 0.5 + {"tsne": 0.4 if row.epoch < 5 else -0.01}.get(row.reducer, 0.0)

    assert run_with(tmp_path, value, best=5).reducer == "none"
    assert run_with(tmp_path, value, best=9).reducer == "tsne", "no analysed epoch from the best one on: all count"


def test_the_reducer_is_chosen_on_the_paper_s_blocks_and_on_shared_cells_only(tmp_path: Path) -> None:
    def value(row: ScoreRow) -> float:
        if row.layer in ("0", "final_norm"):
            return 1.0 if row.reducer == "tsne" else 0.0
        if row.reducer == "tsne":
            return 0.5
        return 0.6 if row.epoch < 7 else 0.0  # where t-SNE is not scored, which must not count against it

    run = run_with(tmp_path, value, keep=lambda row: row.reducer == "none" or row.epoch < 7)
    assert run.reducer == "none"


def test_moments_are_analysed_epochs(tmp_path: Path) -> None:
    """Analysed every third epoch, best at 5: the nearest analysed at or before it is 3."""
    run = run_with(tmp_path, made.like_the_paper, best=5, keep=lambda row: row.epoch % 3 == 0)
    assert dict(run.moments) == {"first": 0, "best": 3, "last": 6}
    assert (run.late_epochs, run.last) == ((6,), 6)


def test_an_epoch_counts_once_every_layer_of_every_split_is_scored(tmp_path: Path) -> None:
    run = run_with(tmp_path, made.like_the_paper, keep=lambda row: row.epoch < 8 or row.layer != "2")
    assert run.epochs == tuple(range(8))


def test_a_curve_is_of_the_validation_split_by_task_with_the_run_s_own_reducer(run: Run) -> None:
    assert run.reducer == "tsne"
    assert run.curve(layer="2", score="f1") == run.curves[Key("validation", "2", "task", "tsne", "f1")]
    of = {"split": "training_subset", "label": "distribution", "reducer": "none"}
    assert run.curve(layer="2", score="ari", **of) == run.curves[Key(layer="2", score="ari", **of)]
    knn = Key("validation", "3", "output", "none", "knn_accuracy")  # of the raw states, whatever the reducer
    assert run.curve(layer="3", label="output", score="knn_accuracy") == run.curves[knn]
    assert run.curve(layer="3", score="no such score") == {}


def test_the_mean_needs_every_layer_and_epoch(run: Run) -> None:
    cells = [run.curve(layer=layer, score="f1")[epoch] for layer in "12" for epoch in (3, 4)]
    assert run.mean(layers="12", epochs=(3, 4), score="f1") == pytest.approx(np.mean(cells))
    with pytest.raises(NotRun, match=r"f1 by mapping is not scored at each layer and epoch needed \(validation\)"):
        run.mean(layers="12", epochs=(3, 99), label="mapping", score="f1")


def test_the_best_block_is_one_of_the_model_s_blocks(tmp_path: Path) -> None:
    """Layer 0 and the final norm score higher, and are no blocks."""

    def value(row: ScoreRow) -> float:
        return {"0": 0.9, "2": 0.8, "final_norm": 0.9}.get(row.layer, 0.5)

    run = run_with(tmp_path, value)
    assert run.best_block(epoch=8) == ("2", 0.8)
    assert run.over_blocks(max, score="f1") == dict.fromkeys(range(9), 0.8)
    assert run.over_blocks(np.mean, score="f1") == pytest.approx(dict.fromkeys(range(9), 0.6))


def test_blocks_are_combined_where_all_of_them_are_scored(tmp_path: Path) -> None:
    run = run_with(tmp_path, made.like_the_paper, keep=lambda row: row.layer != "2" or row.epoch in (0, 4))
    assert list(run.over_blocks(max, score="f1")) == [0, 4]
    with pytest.raises(NotRun):
        run.best_block(epoch=8)


def test_nothing_scored_has_no_reducer_no_epoch_and_no_top_block(tmp_path: Path) -> None:
    made.write_metrics(tmp_path, made.metric_records())
    run = read_main(tmp_path)
    for ask in (lambda: run.reducer, lambda: run.epochs, lambda: run.top, lambda: run.best_block(epoch=0)):
        with pytest.raises(NotRun):
            ask()
    assert measured(lambda run: run.top, run) is None
    assert measured(lambda run: run.best_epoch, run) == 5


def test_shuffled_labels_are_the_mean_of_the_blocks_and_the_other_nulls_constant(run: Run) -> None:
    """By hand, blocks 1 to 3: mean layer 2; without layer 0 and the final norm, which are no blocks."""
    curves = run.null_curves(score="f1")
    epochs = range(9)
    assert curves["shuffled"] == pytest.approx({epoch: 0.02 + 0.001 * epoch for epoch in epochs})
    assert curves["regrouped"] == pytest.approx({epoch: 0.3 + 0.02 + 0.001 * epoch for epoch in epochs})
    assert curves["symbols"] == dict.fromkeys(epochs, 0.3)
    assert curves["untrained"] == pytest.approx(dict.fromkeys(epochs, 0.15)), "the best block of epoch 0"
    assert "regrouped" not in run.null_curves(label="distribution", score="f1")


def test_the_nulls_compared_with_a_block_are_that_block_s(run: Run) -> None:
    values = run.null_values(layer="3", epoch=8, reducer="none", score="ari")
    assert list(values) == list(NULLS)
    assert values["shuffled"] == pytest.approx(0.03 + 0.008)
    assert values["regrouped"] == pytest.approx(0.3 + 0.03 + 0.008)
    assert values["symbols"] == 0.3
    assert values["untrained"] == pytest.approx(0.15 - 0.1 - 0.06), "epoch 0, without reduction, ARI"


def test_a_null_that_was_not_scored_is_none_and_has_no_curve(tmp_path: Path) -> None:
    run = run_with(tmp_path, told_apart, keep=lambda row: row.run == "main" and row.epoch > 0)
    assert run.null_values(layer="3", epoch=8)["symbols"] is None
    assert run.null_values(layer="3", epoch=8)["untrained"] is None
    assert set(run.null_curves(score="f1")) == {"regrouped", "shuffled"}

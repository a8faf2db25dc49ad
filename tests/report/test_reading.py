"""A work directory read back: every seed apart, and their mean."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.records import ScoreRow, UserError
from clusterlm_jax.report.reading import address_of, mean_run, name_of, over_seeds, read_files, read_main, read_phases
from clusterlm_jax.report.run import Key
from tests.report import work_directories as made

KEY = Key("validation", "2", "task", "none", "f1")


def shifted(row: ScoreRow) -> float:
    """Seeds 0, 1 and 2 differ by different amounts, so that a mean is none of them, nor a median."""
    return made.like_the_paper(dataclasses.replace(row, seed=0)) + (0.0, 0.01, 0.05)[row.seed]


def test_seeds_and_other_runs_stay_apart(tmp_path: Path) -> None:
    rows = [row for row in made.score_rows(made.like_the_paper) if row.label == "mapping" and row.run == "main"]
    second = [dataclasses.replace(row, seed=1, value=0.5) for row in rows]
    foreign = [dataclasses.replace(row, run="main/other", value=0.99) for row in rows]
    made.write_rows(tmp_path, foreign + second + rows)
    made.write_metrics(tmp_path, [record | {"seed": seed} for seed in (2, 0) for record in made.metric_records()])
    runs = made.read_seeds(tmp_path)
    assert [run.seeds for run in runs] == [(0,), (1,), (2,)], "lowest first, with scores or only metrics"
    values = [{value for curve in run.curves.values() for value in curve.values()} for run in runs]
    assert values[0] == {row.value for row in rows} and values[1] == {0.5} and not values[2]
    assert runs[0].metrics and not runs[1].metrics and runs[2].metrics


def test_each_seed_has_its_own_facts_and_they_share_the_model(tmp_path: Path) -> None:
    made.write_run(tmp_path, seeds=(0, 1))
    (tmp_path / "run.json").write_text(
        '{"dataset": {"0": {"tasks": 50}, "1": {"tasks": 49}}, "model": {"parameters": 7}, "best": {"1": {"epoch": 7}}}'
    )
    first, second = made.read_seeds(tmp_path)
    assert (first.facts["dataset"], second.facts["dataset"]) == ({"tasks": 50}, {"tasks": 49})
    assert first.facts["model"] == second.facts["model"] == {"parameters": 7}
    assert (first.best_epoch, second.best_epoch) == (5, 7), "the most accurate one until a best one is recorded"


def test_the_mean_is_the_mean_and_the_deviation_the_sample_s(tmp_path: Path) -> None:
    """By hand: values v, v + .01, v + .05 have mean v + .02 and sample variance (.0004 + .0001 + .0009) / 2."""
    runs = made.read_seeds(made.write_run(tmp_path, shifted, seeds=(0, 1, 2)))
    mean = mean_run(runs)
    assert mean.seeds == (0, 1, 2) and mean.each_seed == runs
    assert mean.curves[KEY].keys() == runs[0].curves[KEY].keys()
    for epoch, value in mean.curves[KEY].items():
        assert value == pytest.approx(runs[0].curves[KEY][epoch] + 0.02, abs=1e-12)
        assert mean.deviations[KEY][epoch] == pytest.approx(0.0007**0.5, abs=1e-12)
    losses = [run.metrics["training_loss"][3] for run in runs]
    assert mean.metrics["training_loss"][3] == pytest.approx(np.mean(losses))
    assert mean.deviations["training_loss"][3] == pytest.approx(np.std(losses, ddof=1))
    assert mean.symbols[KEY._replace(layer="0")] == pytest.approx(0.32)


def test_the_mean_is_over_the_epochs_all_seeds_have(tmp_path: Path) -> None:
    """One seed is three epochs behind; a mean over whoever is there would jump where it ends."""
    rows = [row for seed in (0, 1) for row in made.score_rows(made.like_the_paper, epochs=9 - 3 * seed, seed=seed)]
    made.write_rows(tmp_path, rows)
    made.write_metrics(tmp_path, [record for seed in (0, 1) for record in made.metric_records(9 - 3 * seed, seed=seed)])
    mean = mean_run(made.read_seeds(tmp_path))
    assert mean.epochs == tuple(range(6)) and max(mean.metrics["validation_accuracy"]) == 5


def test_one_seed_is_itself(tmp_path: Path) -> None:
    (run,) = made.read_seeds(made.write_run(tmp_path))
    assert mean_run([run]) is run
    assert not run.deviations and not run.members and run.each_seed == (run,)


def test_all_seeds_are_shown_with_the_reducer_that_is_better_on_average(tmp_path: Path) -> None:
    """Alone, seed 0 would be shown with t-SNE and seed 1 without; on average t-SNE is better."""

    def value(row: ScoreRow) -> float:
        return 0.5 + (row.reducer == "tsne") * (0.2, -0.1)[row.seed]

    alone = tmp_path / "alone"
    alone.mkdir()
    made.write_rows(alone, made.score_rows(value, seed=1))
    assert made.read_seeds(alone)[0].reducer == "none"
    runs = made.read_seeds(made.write_run(tmp_path / "both", value, seeds=(0, 1)))
    assert [run.reducer for run in (*runs, mean_run(runs))] == ["tsne"] * 3


def test_what_is_undefined_is_not_there(tmp_path: Path) -> None:
    """Without hard examples their shares are nan, which must not stand in for a number."""

    def value(row: ScoreRow) -> float:
        return math.nan if row.score.startswith("hard_") else made.like_the_paper(row)

    made.write_rows(tmp_path, made.score_rows(value))
    (run,) = made.read_seeds(tmp_path)
    assert run.curves and not any(key[4].startswith("hard_") for key in run.curves)


def test_phases_stay_apart_and_one_that_has_not_begun_is_empty(tmp_path: Path) -> None:
    """Facts of a phase are under `phases` in run.json; the data and the model are the whole run's."""
    rows = [
        row for row in made.score_rows(made.like_the_paper, epochs=2) if row.label == "mapping" and row.run == "main"
    ]
    made.write_rows(tmp_path, [*rows, *(dataclasses.replace(row, run="main/head", value=0.5) for row in rows)])
    made.write_metrics(
        tmp_path, [record | {"run": run} for run in ("main", "main/head") for record in made.metric_records(3)]
    )
    (tmp_path / "run.json").write_text(
        '{"model": {"parameters": 7}, "phases": {"main/head": {"best": {"0": {"epoch": 1}}}}}'
    )
    phases = read_phases(tmp_path, ("main", "main/head", "main/later"))
    values = {
        name: {value for curve in run.curves.values() for value in curve.values()} for name, (run,) in phases.items()
    }
    assert values == {"main": {row.value for row in rows}, "main/head": {0.5}, "main/later": set()}
    (head,), (later,) = phases["main/head"], phases["main/later"]
    assert (head.best_epoch, head.facts["model"], head.trained) == (1, {"parameters": 7}, 2)
    assert not later.metrics and later.best_epoch is None and later.trained == -1


def test_curves_do_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    """Workers finish cells in any order; curves are drawn through the epochs in theirs."""
    rows = made.score_rows(made.like_the_paper)
    made.write_rows(tmp_path, rows)
    ordered = read_main(tmp_path).curves
    made.write_rows(tmp_path, [rows[index] for index in np.random.default_rng(0).permutation(len(rows))])
    shuffled = read_main(tmp_path).curves
    assert {key: list(curve.items()) for key, curve in ordered.items()} == {
        key: list(curve.items()) for key, curve in shuffled.items()
    }


def test_curves_of_several_seeds_are_joined_where_all_have_a_value() -> None:
    means, deviations = over_seeds([{"a": {0: 1.0, 5: 2.0, 10: 7.0}, "b": {0: 1.0}}, {"a": {0: 3.0, 5: 2.0}}])
    assert means == {"a": {0: 2.0, 5: 2.0}}
    np.testing.assert_allclose(list(deviations["a"].values()), [math.sqrt(2), 0.0])  # the sample's: n - 1
    assert over_seeds([{"a": {0: 1.0}}]) == ({"a": {0: 1.0}}, {})
    assert over_seeds([{"a": {0: 1.0}}, {"a": {}}]) == ({"a": {}}, {"a": {}})


def test_the_seconds_of_a_stage_that_was_resumed_are_added(tmp_path: Path) -> None:
    assert read_files(made.write_run(tmp_path))["seconds"] == {"train": pytest.approx(121.2), "analyse": 30.0}


def test_embeddings_are_found_by_split_layer_and_epoch(tmp_path: Path) -> None:
    (run,) = made.read_seeds(made.write_run(tmp_path))
    assert run.embeddings.keys() == {"validation"}
    layers = run.embeddings["validation"]
    assert {layer: tuple(paths) for layer, paths in layers.items()} == dict.fromkeys("23", (0, 2, 5, 8))
    assert all(path.is_file() for paths in layers.values() for path in paths.values())


def test_a_page_of_its_own_is_addressed_from_where_the_other_page_is(tmp_path: Path) -> None:
    workdir = tmp_path / "runs" / "a=1, b"
    workdir.mkdir(parents=True)
    assert address_of(workdir, tmp_path / "elsewhere") == ""
    (workdir / "report.html").touch()
    assert address_of(workdir, tmp_path / "elsewhere") == "../runs/a%3D1%2C%20b/report.html"


def test_a_name_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "two\nlines").mkdir()
    assert read_main(tmp_path / "two\nlines").name == "two lines"
    assert name_of(Path("owner/some model")) == "some model"


def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no work directory"):
        read_main(tmp_path / "nowhere")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json is damaged \(line 1"):
        read_main(tmp_path)
    (tmp_path / "run.json").unlink()
    (tmp_path / "metrics.jsonl").write_text("{\n{}\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged \(line 1"):
        read_main(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"run": "main", "seed": 0, "epo')  # killed while writing
    assert not read_main(tmp_path).metrics

"""Runs side by side: their curves, their numbers and their verdicts are those of each alone."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.analysis.correlation import correlate
from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report import claims, comparison
from clusterlm_jax.report.points import read_points
from clusterlm_jax.report.reading import mean_run, read_runs
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.summary import WORDS, spread
from tests.report.work_directories import like_the_paper, metric_records, write_metrics, write_run

NAMES = ("narrow", "wide", "never")


def weaker(row: ScoreRow) -> float:
    return 0.7 * like_the_paper(row)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Three seeds, one seed of a longer training, and a point that has not run; compared."""
    root = tmp_path_factory.mktemp("grid")
    write_run(root / "narrow", seeds=(0, 1, 2))
    (write_run(root / "wide", weaker) / "report.html").touch()
    longer = json.loads((root / "wide" / "config.json").read_text()) | {"train": {"epochs": 16}}
    (root / "wide" / "config.json").write_text(json.dumps(longer))
    comparison.write({name: root / name for name in NAMES}, root, ReportSpec(formats=("png",)))
    return root


@pytest.fixture(scope="module")
def points(root):
    return read_points({name: root / name for name in NAMES}, root)


def table(root: Path, name: str) -> dict[str, dict[str, str]]:
    with (root / "tables" / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {next(iter(row.values())): row for row in rows}


def lines(axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Data of a panel by the colour of its points' lines."""
    return {line.get_color(): line.get_data() for line in axes.lines}


def test_every_file_is_written(root):
    figures = {"figure_training.png", "figure_correlation.png"}
    assert {path.name for path in (root / "figures").iterdir()} == figures
    names = {entry.name for entry in (comparison.SETTINGS, *comparison.TABLES)}
    assert {path.name for path in (root / "tables").iterdir()} == {f"{n}.{s}" for n in names for s in ("md", "csv")}


def test_settings_that_differ_are_told(root):
    rows = table(root, "table_settings")
    assert {key: (row["narrow"], row["wide"], row["never"]) for key, row in rows.items()} == {
        "seeds": ("[0, 1, 2]", "[0]", ""),
        "train.epochs": ("None", "16", ""),
    }


def test_the_page_links_to_every_run_s_own_and_says_what_was_not_run(root):
    page = (root / "report.html").read_text()
    assert re.findall(r'<dt>(?:<a href="(.*?)">)?(\w+)', page) == [
        ("", "narrow"),
        ("wide/report.html", "wide"),
        ("", "never"),
    ]
    assert "not run: nothing has been trained yet" in page
    assert page.count("<img") == 2
    assert 'src="data:image/png' in page


def test_curves_are_means_over_the_seeds_along_the_share_of_training(root, points):
    """The longer training is half done; a curve along epochs would end at 8 in both."""
    accuracy, clusters, beneath, neighbours = comparison.figure_training(points).axes
    narrow, wide = (point.line["color"] for point in points[:2])
    shares, values = lines(accuracy)[narrow]
    np.testing.assert_allclose(shares, np.arange(9) / 8)
    seeds = [[row["validation_accuracy"] for row in metric_records(seed=seed)] for seed in (0, 1, 2)]
    np.testing.assert_allclose(values, np.mean(seeds, axis=0))
    assert lines(accuracy)[wide][0][-1] == 0.5
    (band,) = accuracy.collections  # of the only point with several seeds
    top = band.get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx((np.mean(seeds, axis=0) + np.std(seeds, axis=0, ddof=1)).max())
    assert [len(axes.lines) for axes in (clusters, beneath, neighbours)] == [2, 2, 2]


def test_clusters_are_the_best_block_s_and_those_beneath_the_mean_of_all(root, points):
    (run,) = read_runs(root / "wide")
    _, clusters, beneath, neighbours = comparison.figure_training(points).axes
    colour = points[1].line["color"]

    def blocks(reducer: str) -> np.ndarray:
        return np.array([list(run.curve("f1", "task", "validation", block, reducer).values()) for block in "123"])

    np.testing.assert_allclose(lines(clusters)[colour][1], blocks(run.reducer).max(axis=0))
    np.testing.assert_allclose(lines(beneath)[colour][1], blocks("input_removed").mean(axis=0))
    top = list(run.curve("knn_percentage", "task", "validation", "3").values())
    np.testing.assert_allclose(lines(neighbours)[colour][1], top)


def test_trainings_of_one_length_are_shown_in_epochs(root):
    points = read_points({"narrow": root / "narrow"}, root)
    axes = comparison.figure_training(points).axes
    np.testing.assert_allclose(lines(axes[0])[points[0].line["color"]][0], np.arange(9))
    assert axes[-1].get_xlabel() == "epoch"


def test_correlations_stand_at_their_relative_depth_beside_the_threshold(root, points):
    axes = comparison.figure_correlation(points).axes
    assert len(axes) == 6
    for panel, sign in zip(axes, (1, 1, 1, -1, -1, -1), strict=True):
        *_, threshold = panel.lines
        assert list(threshold.get_ydata()) == [sign * 0.6] * 2
    (run,) = read_runs(root / "wide")
    depth, r = lines(axes[2])[points[1].line["color"]]
    np.testing.assert_allclose(depth, [0, 1 / 3, 2 / 3, 1])
    accuracy = run.metrics["validation_accuracy"]
    expected = [correlate(accuracy, run.curve("ami", "task", "validation", layer)) for layer in "0123"]
    np.testing.assert_allclose(r, expected)


def test_the_table_has_every_measure_of_every_point(root):
    rows = table(root, "table_comparison")
    assert list(rows)[3:] == list(WORDS.values())
    assert (rows["seeds"]["narrow"], rows["epochs"]["wide"]) == ("3", "16")
    assert {row["never"] for row in rows.values()} == {""}
    for name in ("narrow", "wide"):
        for measure, (mean, deviation, values) in spread(read_runs(root / name)).items():
            shown = rows[WORDS[measure]][name]
            if mean is None:
                assert shown == ""
            elif len(set(values)) > 1:
                assert shown == f"{mean:.3f} ± {deviation:.3f}"
            else:
                assert float(shown) == pytest.approx(values[0])


def test_verdicts_are_those_of_each_run_s_page(root):
    rows = table(root, "table_claims")
    for name in ("narrow", "wide"):
        judgements = claims.judge(mean_run(read_runs(root / name)))
        assert [row[name].split(" (")[0] for row in rows.values()] == [judgement.verdict for judgement in judgements]
    assert {row["never"] for row in rows.values()} == {""}
    mixed = [row["narrow"] for row in rows.values() if row["narrow"].startswith(claims.MIXED)]
    assert all(re.fullmatch(r"mixed \([12] of 3 seeds\)", verdict) for verdict in mixed)


def test_correlations_are_also_taken_over_all_points_and_seeds(root):
    """Four values, three of them of one point: a mean of the points' means would weigh the single seed as much."""
    row = table(root, "table_correlation")["accuracy and task AMI"]
    runs = [run for name in ("narrow", "wide") for run in read_runs(root / name)]
    r = [correlate(run.metrics["validation_accuracy"], run.curve("ami", "task", "validation", "3")) for run in runs]
    assert row["all points and seeds"] == f"{np.mean(r):.3f} ± {np.std(r, ddof=1):.3f}"
    assert row["narrow"] == f"{np.mean(r[:3]):.3f} ± {np.std(r[:3], ddof=1):.3f}"
    assert row["the paper"] == "> 0.6"


def test_before_anything_has_run_it_says_so(tmp_path):
    page = comparison.write({"a": tmp_path / "a"}, tmp_path, ReportSpec(formats=("png",)))
    assert page.read_text().count("Not run: no point has been trained yet.") == 5
    assert not list((tmp_path / "figures").glob("*.png"))


def test_accuracy_is_compared_before_the_first_analysis(tmp_path):
    (tmp_path / "a").mkdir()
    write_metrics(tmp_path / "a", metric_records())
    accuracy, clusters, *_ = comparison.figure_training(read_points({"a": tmp_path / "a"}, tmp_path)).axes
    assert len(accuracy.lines) == 1
    assert clusters.texts[0].get_text().startswith("not run")


def test_any_work_directories_can_be_compared_from_the_command_line(root, tmp_path, capsys):
    given = [str(root / "narrow"), str(root / "wide"), f"--into={tmp_path / 'out'}"]
    assert comparison.main(given) == 0
    assert "narrow" in (tmp_path / "out" / "report.html").read_text()
    assert comparison.main([str(root / "none"), *given]) == 2
    assert capsys.readouterr().err == f"clusterlm_jax: There is no work directory {root / 'none'}.\n"

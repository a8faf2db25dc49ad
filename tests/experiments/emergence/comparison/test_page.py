"""Runs side by side: their curves, their numbers and their verdicts are those of each alone."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.experiments.emergence.claims import CLAIMS
from clusterlm_jax.experiments.emergence.comparison import page
from clusterlm_jax.experiments.emergence.comparison.measures import MEASURES, summary
from clusterlm_jax.experiments.emergence.correlation import correlate
from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.claims import MIXED, judge
from clusterlm_jax.report.comparison import read_points
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import Spread, over_seeds
from tests.report.work_directories import like_the_paper, metric_records, read_seeds, write_metrics, write_run

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
    page.write({name: root / name for name in NAMES}, root, ReportSpec(formats=("png",)))
    return root


def read(root: Path, *names: str):
    return read_points(read_main, page._progress, {name: root / name for name in names}, root)


@pytest.fixture(scope="module")
def points(root):
    return read(root, *NAMES)


@pytest.fixture(scope="module")
def seeds(points) -> dict[str, tuple[Run, ...]]:
    return {point.name: point.run.each_seed for point in points if point.run}


def table(root: Path, name: str) -> dict[str, dict[str, str]]:
    with (root / "tables" / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {next(iter(row.values())): row for row in rows}


def markdown(root: Path, name: str, row: str) -> list[str]:
    """The cells of a row as a person reads them."""
    lines = (root / "tables" / f"{name}.md").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {row} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def lines(axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Data of a panel by the colour of its points' lines."""
    return {line.get_color(): line.get_data() for line in axes.lines}


def test_every_file_is_written(root):
    figures = {"figure_training.png", "figure_correlation.png"}
    assert {path.name for path in (root / "figures").iterdir()} == figures
    names = ("table_settings", "table_claims", "table_correlation", "table_comparison")
    assert {path.name for path in (root / "tables").iterdir()} == {f"{n}.{s}" for n in names for s in ("md", "csv")}


def test_settings_that_differ_are_told(root):
    rows = table(root, "table_settings")
    assert {key: (row["narrow"], row["wide"]) for key, row in rows.items()} == {
        "seeds": ("[0, 1, 2]", "[0]"),
        "train.epochs": ("None", "16"),
    }


def test_the_page_links_to_every_run_s_own_and_says_what_was_not_run(root):
    html = (root / "report.html").read_text()
    assert re.findall(r'<dt>(?:<a href="(.*?)">)?(\w+)', html) == [
        ("", "narrow"),
        ("wide/report.html", "wide"),
        ("", "never"),
    ]
    assert "<dd>8 of 8 epochs, seeds 0, 1, 2</dd>" in html and "<dd>8 of 16 epochs, seed 0</dd>" in html
    assert "not run: There is no work directory" in html
    assert html.count("<img") == 2
    assert 'src="data:image/png' in html


def test_curves_are_means_over_the_seeds_along_the_share_of_training(points):
    """The longer training is half done; a curve along epochs would end at 8 in both."""
    accuracy, clusters, beneath, neighbours = page.figure_training(points).axes
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


def test_clusters_are_the_best_block_s_and_those_beneath_the_mean_of_all(points, seeds):
    (run,) = seeds["wide"]
    _, clusters, beneath, neighbours = page.figure_training(points).axes
    colour = points[1].line["color"]

    def blocks(reducer: str) -> np.ndarray:
        return np.array([list(run.curve(layer=block, reducer=reducer, score="f1").values()) for block in "123"])

    np.testing.assert_allclose(lines(clusters)[colour][1], blocks(run.reducer).max(axis=0))
    np.testing.assert_allclose(lines(beneath)[colour][1], blocks("input_removed").mean(axis=0))
    top = list(run.curve(layer="3", score="knn_percentage").values())
    np.testing.assert_allclose(lines(neighbours)[colour][1], top)


def test_trainings_of_one_length_are_shown_in_epochs(points):
    axes = page.figure_training(points[:1]).axes
    np.testing.assert_allclose(lines(axes[0])[points[0].line["color"]][0], np.arange(9))
    assert axes[-1].get_xlabel() == "epoch"


def test_correlations_stand_at_their_relative_depth_with_the_threshold(points, seeds):
    axes = page.figure_correlation(points).axes
    assert len(axes) == 6
    for panel, sign in zip(axes, (1, 1, 1, -1, -1, -1), strict=True):
        *_, threshold = panel.lines
        assert list(threshold.get_ydata()) == [sign * 0.6] * 2
    (run,) = seeds["wide"]
    depth, r = lines(axes[2])[points[1].line["color"]]
    np.testing.assert_allclose(depth, [0, 1 / 3, 2 / 3, 1])
    accuracy = run.metrics["validation_accuracy"]
    np.testing.assert_allclose(r, [correlate(accuracy, run.curve(layer=layer, score="ami")) for layer in "0123"])


def test_the_table_has_every_measure_of_every_point_with_every_digit(root, seeds):
    """Of three seeds mean and deviation have a column each."""
    rows = table(root, "table_comparison")
    assert list(rows)[3:] == [words for words, _ in MEASURES.values()]
    assert (rows["seeds"]["narrow"], rows["epochs"]["wide"]) == ("3", "16")
    assert all(set(row) == {"measure", "narrow", "narrow, standard deviation", "wide"} for row in rows.values())
    each = {name: [summary(run) for run in runs] for name, runs in seeds.items()}
    spreads = 0
    for measure, (words, _) in MEASURES.items():
        assert float(rows[words]["wide"]) == pytest.approx(each["wide"][0][measure], nan_ok=True)
        cell, shown = over_seeds([values[measure] for values in each["narrow"]]), rows[words]
        if isinstance(cell, Spread):
            spreads += 1
            both = [float(shown["narrow"]), float(shown["narrow, standard deviation"])]
            assert both == [cell.mean, cell.deviation]
            assert markdown(root, "table_comparison", words)[0] == f"{cell.mean:.3f} ± {cell.deviation:.3f}"
        else:
            assert float(shown["narrow"]) == cell and shown["narrow, standard deviation"] == ""
    assert spreads > 20


def test_verdicts_are_those_of_each_run_s_page(root, points):
    rows = table(root, "table_claims")
    assert len(rows) == len(CLAIMS)
    for point in points[:2]:
        expected = [judgement.verdict for judgement in judge(CLAIMS, point.run)]
        assert [row[point.name].split(" (")[0] for row in rows.values()] == expected
    mixed = [row["narrow"] for row in rows.values() if row["narrow"].startswith(MIXED)]
    assert all(re.fullmatch(r"mixed \([12] of 3 seeds\)", verdict) for verdict in mixed)


def test_correlations_are_also_taken_over_all_points_and_seeds(root, seeds):
    """Four values, three of them of one point: a mean of the points' means would weigh the single seed as much."""
    row = table(root, "table_correlation")["accuracy and task AMI"]
    runs = [run for of_point in seeds.values() for run in of_point]
    r = [correlate(run.metrics["validation_accuracy"], run.curve(layer="3", score="ami")) for run in runs]
    for name, values in (("all points and seeds", r), ("narrow", r[:3])):
        both = float(row[name]), float(row[f"{name}, standard deviation"])
        assert both == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    shown = markdown(root, "table_correlation", "accuracy and task AMI")
    assert shown == [
        "> 0.6",
        f"{np.mean(r):.3f} ± {np.std(r, ddof=1):.3f}",
        f"{np.mean(r[:3]):.3f} ± {np.std(r[:3], ddof=1):.3f}",
        f"{r[3]:.3f}",
    ]


def test_before_anything_has_run_it_says_so(tmp_path):
    (tmp_path / "a").mkdir()
    html = page.write({"a": tmp_path / "a"}, tmp_path, ReportSpec(formats=("png",))).read_text()
    assert "<dd>not run: nothing has been trained yet</dd>" in html
    assert html.count("Not run: at no point ") == 5
    assert not list((tmp_path / "figures").glob("*.png"))


def test_accuracy_is_compared_before_the_first_analysis(tmp_path):
    (tmp_path / "a").mkdir()
    write_metrics(tmp_path / "a", metric_records())
    points = read(tmp_path, "a")
    accuracy, clusters, *_ = page.figure_training(points).axes
    assert len(accuracy.lines) == 1
    assert clusters.texts[0].get_text().startswith("not run")
    with pytest.raises(NotRun, match="three epochs"):
        page.figure_correlation(points)
    page.write({"a": tmp_path / "a"}, tmp_path, ReportSpec(formats=()))  # and the tables do not mind


def test_each_point_is_read_as_it_is_alone(root, points):
    assert [run.seeds for run in points[0].run.each_seed] == [run.seeds for run in read_seeds(root / "narrow")]
    assert points[2].run is None

"""What the paper's figures draw of several seeds and of similar tasks, which they are, and their nulls."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from clusterlm_jax.experiments.emergence import figures, own_figures
from clusterlm_jax.experiments.emergence.correlation import correlations
from clusterlm_jax.experiments.emergence.figures import FIGURES, heading
from clusterlm_jax.report.page import FigureEntry
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.words import LABELS, NULLS
from tests.report.work_directories import like_the_paper, score_rows, write_rows, write_run

# The scatter is the first seed's, and the timing has lines of its own.
SEEDED = [entry for entry in FIGURES if entry.name not in ("figure_scatter", "figure_timing")]
ALL, NO_TASK = set(NULLS.values()), set(NULLS.values()) - {NULLS["regrouped"]}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The mean of three seeds."""
    return read_main(write_run(tmp_path_factory.mktemp("seeds"), seeds=(0, 1, 2)))


def shades(figure: Figure) -> list[int]:
    """The number of shaded areas of each panel."""
    return [sum(isinstance(drawn, PolyCollection) for drawn in axes.collections) for axes in figure.axes]


def words(figure: Figure) -> set[str]:
    return {text.get_text() for legend in figure.legends for text in legend.get_texts()}


@pytest.mark.parametrize("entry", SEEDED, ids=lambda entry: entry.name)
def test_several_seeds_are_shaded_and_no_picture_repeats_its_heading(seeds: Run, entry: FigureEntry) -> None:
    figure = entry(seeds)
    assert all(shades(figure)) and "mean ± std of 3 seeds" in words(figure)
    figure = entry(seeds.members[0])
    assert not any(shades(figure)) and not any("seeds" in entry for entry in words(figure))
    assert entry.title.lower() not in figure.get_suptitle().lower()


def test_the_line_is_the_mean_and_the_shade_a_standard_deviation(seeds: Run) -> None:
    axes = figures.figure_3(seeds).axes[2]
    accuracy_SE = np.array([list(run.metrics["validation_accuracy"].values()) for run in seeds.members])
    (line,) = (line for line in axes.lines if len(line.get_xdata()) == 9)
    np.testing.assert_allclose(line.get_ydata(), accuracy_SE.mean(axis=0))
    (shade,) = axes.collections
    at_last = shade.get_paths()[0].vertices
    low, high = np.sort(at_last[at_last[:, 0] == 8][:, 1])[[0, -1]]
    mean, deviation = accuracy_SE[:, -1].mean(), accuracy_SE[:, -1].std(ddof=1)
    assert (low, high) == pytest.approx((mean - deviation, mean + deviation))


def test_similar_tasks_have_a_second_accuracy(tmp_path: Path, seeds: Run) -> None:
    run = read_main(write_run(tmp_path, shared_mappings=3))
    figure = figures.figure_3(run)
    curves = [[list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) > 2] for axes in figure.axes]
    assert [len(lines) for lines in curves] == [1, 2, 2]
    assert list(run.metrics["validation_identity_accuracy"].values()) in curves[2]
    assert "any output of its task identity for this input" in words(figure)
    assert len(words(figures.figure_3(seeds.members[0]))) == 2


@pytest.mark.parametrize(
    ("width", "options", "numbers"),
    [
        (768, {}, {"figure_2": "Figure 2", "figure_4": "Figure 4", "figure_3": "Figure 3", "figure_15": "Figure 15"}),
        (32, {}, {"figure_2": "Figure 7", "figure_6a": "Figure 7a", "figure_4": "Figure 8", "figure_3": "As figure 3"}),
        (2048, {}, {"figure_2": "Figure 9", "figure_6b": "Figure 9b", "figure_4": "Figure 10"}),
        (768, {"seeds": (0, 1)}, {"figure_2": "Figure 11", "figure_4": "Figure 12", "figure_3": "Figure 13"}),
        (768, {"shared_mappings": 3}, {"figure_2": "Figure 14", "figure_4": "As figure 4", "figure_3": "As figure 3"}),
    ],
)
def test_headings_name_the_paper_s_figure_of_such_a_run(tmp_path: Path, width, options, numbers) -> None:
    write_run(tmp_path, **options)
    write_rows(tmp_path, [row for row in score_rows(like_the_paper) if row.label == "mapping" and row.epoch == 0])
    config = (tmp_path / "config.json").read_text().replace('"hidden_dim": 32', f'"hidden_dim": {width}')
    (tmp_path / "config.json").write_text(config)
    run = read_main(tmp_path)
    headings = {entry.name: heading(entry, run) for entry in FIGURES}
    assert {name: headings[name].split(":")[0] for name in numbers} == numbers
    assert headings["figure_hard"].endswith("(ours)")


def nulls(figure: Figure) -> list[set[str]]:
    """The null baselines drawn in each panel."""
    return [{line.get_label() for line in axes.lines} & ALL for axes in figure.axes]


def test_nulls_are_drawn_where_there_are_rows(seeds: Run) -> None:
    run = seeds.members[0]
    assert nulls(figures.figure_2(run)) == [ALL, NO_TASK, NO_TASK] * 2
    assert nulls(figures.figure_6a(run)) == [ALL, NO_TASK, NO_TASK] * 3
    assert nulls(own_figures.figure_spaces(run)) == [ALL] * 6
    assert nulls(figures.figure_4(run)) == [ALL, {NULLS["symbols"], NULLS["untrained"]}]
    assert nulls(own_figures.figure_variance(run)) == [set()] * 6
    assert nulls(own_figures.figure_hard(run)) == [set()] * 2
    assert words(figures.figure_2(run)) >= ALL


@pytest.mark.parametrize("split", ["training_subset", "validation"])
def test_figure_6_has_a_row_for_each_score_of_its_split(seeds: Run, split: str) -> None:
    run = seeds.members[0]
    entry = {"training_subset": figures.figure_6a, "validation": figures.figure_6b}[split]
    cells = itertools.product(("f1", "ari", "ami"), LABELS)
    for panel, (score, label) in zip(entry(run).axes, cells, strict=True):
        curve = run.curve(split=split, layer="2", label=label, score=score)
        assert list(curve.values()) in [list(line.get_ydata()) for line in panel.lines]


def test_figure_15_has_r_of_each_layer_and_the_final_norm_apart(seeds: Run) -> None:
    run = seeds.members[0]
    (panel,) = figures.figure_15(run).axes
    *curves, low, high = [(list(line.get_xdata()), list(line.get_ydata())) for line in panel.lines]
    for place, by_layer in enumerate(correlations(run).values()):
        assert [x for x, _ in curves[2 * place : 2 * place + 2]] == [[0, 1, 2, 3], [4]]
        drawn = [r for _, values in curves[2 * place : 2 * place + 2] for r in values]
        assert drawn == pytest.approx([by_layer[layer] for layer in run.layers], nan_ok=True)
    assert (low[1], high[1]) == ([-0.6, -0.6], [0.6, 0.6])


def test_a_panel_of_figure_3_without_its_metric_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotRun, match="no metrics"):
        figures.figure_3(read_main(tmp_path))
    row = {"run": "main", "seed": 0, "epoch": 0, "step": 0, "validation_accuracy": 0.1}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    loss, subset, validation = figures.figure_3(read_main(tmp_path)).axes
    assert [text.get_text() for text in loss.texts] == ["not run\n(no training loss)"]
    assert subset.texts and not validation.texts

"""What the figures draw of several seeds and of similar tasks, and which of the paper's they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from clusterlm_jax.report import figures
from clusterlm_jax.report.gallery import FIGURES, heading
from clusterlm_jax.report.reading import mean_run, read_runs
from clusterlm_jax.report.run import Run
from clusterlm_jax.report.scatter import figure_scatter
from clusterlm_jax.report.spec import ReportSpec
from tests.report.work_directories import like_the_paper, score_rows, write_rows, write_run

SEEDED = {
    "figure_2": figures.figure_2,
    "figure_3": figures.figure_3,
    "figure_4": figures.figure_4,
    "figure_6": lambda run: figures.figure_6(run, "validation"),
    "figure_15": figures.figure_15,
    "figure_hard": figures.figure_hard,
    "figure_spaces": figures.figure_spaces,
    "figure_variance": figures.figure_variance,
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The mean of three seeds."""
    return mean_run(read_runs(write_run(tmp_path_factory.mktemp("seeds"), seeds=(0, 1, 2))))


def shades(figure: Figure) -> list[int]:
    """The number of shaded areas of each panel."""
    return [sum(isinstance(drawn, PolyCollection) for drawn in axes.collections) for axes in figure.axes]


def words(figure: Figure) -> set[str]:
    return {text.get_text() for legend in figure.legends for text in legend.get_texts()}


@pytest.mark.parametrize("name", SEEDED)
def test_several_seeds_are_shaded_and_one_is_not(seeds: Run, name: str) -> None:
    figure = SEEDED[name](seeds)
    assert all(shades(figure)) and "mean ± std of 3 seeds" in words(figure)
    figure = SEEDED[name](seeds.members[0])
    assert not any(shades(figure)) and not any("seeds" in entry for entry in words(figure))


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


def test_the_scatter_is_the_first_seed_s_and_says_so(seeds: Run) -> None:
    figure = figure_scatter(seeds, ReportSpec())
    assert figure.get_suptitle().endswith("seed 0")
    f1 = seeds.members[0].curve("f1", "task", "validation", "3", "tsne")[8]
    assert figure.axes[-1].get_title() == f"epoch 8, F1 {f1:.2f}"
    assert "seed" not in figure_scatter(seeds.members[0], ReportSpec()).get_suptitle()


def test_similar_tasks_have_a_second_accuracy(tmp_path: Path, seeds: Run) -> None:
    run = mean_run(read_runs(write_run(tmp_path, shared_mappings=3)))
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
    run = mean_run(read_runs(tmp_path))
    headings = {entry.name: heading(entry, run) for entry in FIGURES}
    assert {name: headings[name].split(":")[0] for name in numbers} == numbers
    assert headings["figure_hard"].endswith("(ours)")

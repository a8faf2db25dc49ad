"""The figures of probed models draw the rows' values, the nulls' and the paper's, and every prompt as what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from clusterlm_jax.experiments.probing.figures import over_layers, spread
from clusterlm_jax.experiments.probing.probe import read_probe
from clusterlm_jax.experiments.probing.scatter import scatter
from clusterlm_jax.records import ScoreRow
from clusterlm_jax.report.layers.scores import Place
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import ReportSpec
from tests.experiments.probing.directories import (
    CATEGORIES,
    TASKS,
    formula,
    like_the_paper,
    probes_of,
    score_rows,
    write_embeddings,
    write_facts,
    write_models,
)
from tests.report.work_directories import write_rows

LLAMA_7B = (0.959, 0.872, 0.869, 0.571, 0.438, 0.673, 0.940, 0.903, 0.974)  # table 1


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA, a GPT-J, random weights; read it, do not change it."""
    return write_models(tmp_path_factory.mktemp("models"))


def lines(axes: Axes) -> list[np.ndarray]:
    """Values of the curves of a panel, without single points and level lines."""
    return [np.array(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) > 2]


def test_one_model_s_figure_has_both_reducers_the_nulls_and_the_paper(root: Path) -> None:
    axes = over_layers(probes_of(root, "llama")).axes
    assert len(axes) == 9
    for number, panel in enumerate(axes):
        score, label = divmod(number, 3)
        raw, tsne = lines(panel)[-2:]
        place = 3 * label + score  # the figure has a row for each score, table 1 a group for each label
        for values, reducer in ((raw, "none"), (tsne, "tsne")):
            np.testing.assert_allclose(values, [formula(like_the_paper, str(i), reducer)[place] for i in range(9)])
        levels = [line.get_ydata()[0] for line in panel.lines if list(line.get_xdata()) == [0, 1]]
        assert levels == [0.55 if score == 0 else 0.25, LLAMA_7B[place]]
        assert len(lines(panel)) == 2 + (2 if label == 0 else 1), "tasks are regrouped only for the categories"
        (diamond,) = (line for line in panel.lines if line.get_marker() == "D")
        assert (*diamond.get_xdata(), *diamond.get_ydata()) == (5, formula(like_the_paper, "5", "tsne")[place])
        hollow = [line for line in panel.lines if line.get_markerfacecolor() == "white" and line.get_marker() == "o"]
        assert {line.get_xdata()[0] > 8 for line in hollow} == {True}, "the final norm stands apart"


def test_a_layer_that_is_not_scored_is_a_gap(tmp_path: Path) -> None:
    write_facts(tmp_path, "mine", 8)
    write_rows(tmp_path, [row for row in score_rows() if row.layer != "2" and row.reducer == "none"])
    (curve,) = lines(over_layers([read_probe(tmp_path, "run")]).axes[1])[-1:]
    assert np.isnan(curve).tolist() == [False, False, True, *[False] * 6]


def test_several_models_have_a_line_each_of_their_own_length(root: Path) -> None:
    figure = over_layers(probes_of(root, "llama", "gptj", "random", "never"))
    assert [len(values) for values in lines(figure.axes[0])] == [9, 7, 9]
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == [
        *("open_llama_7b: t-SNE", "gpt-j-6b: t-SNE", "open_llama_7b (random weights): t-SNE"),
        *("chosen layer", "the paper's table 1"),
    ]
    levels = [line.get_ydata()[0] for line in figure.axes[0].lines if list(line.get_xdata()) == [0, 1]]
    assert levels == [0.959, 0.887], "random weights are no model of the paper's"
    diamonds = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert diamonds == [5, 3, 1]


def test_the_spread_has_a_panel_for_each_model(root: Path) -> None:
    axes = spread(probes_of(root, "llama", "gptj", "random")).axes
    assert [panel.get_title(loc="left") for panel in axes if panel.axison] == [
        "open_llama_7b",
        "gpt-j-6b",
        "open_llama_7b (random weights)",
    ]
    task, _, _, position = lines(axes[0])
    assert task.argmax() == 5 and position.argmin() == 5
    with pytest.raises(NotRun, match="shares of variance"):
        spread(probes_of(root, "never"))


def test_the_scatter_has_every_prompt_by_category_and_by_task(root: Path) -> None:
    figure = scatter(probes_of(root, "llama"), ReportSpec())
    left, right = figure.axes
    assert [len(axes.collections) for axes in (left, right)] == [3, 16]
    for axes in (left, right):
        assert sum(len(drawn.get_offsets()) for drawn in axes.collections) == 16 * 2 * 3
        assert all(drawn.get_rasterized() for drawn in axes.collections)
    assert (left.get_title(), right.get_title()) == (
        "open_llama_7b, layer 5, F1 0.95",
        "open_llama_7b, layer 5, F1 0.57",
    )
    names = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert names == [*CATEGORIES, *TASKS]
    assert [legend.get_title().get_text() for legend in figure.legends[1:]] == list(CATEGORIES)
    looks = {(to_hex(h.get_color()), h.get_marker()) for legend in figure.legends[1:] for h in legend.legend_handles}
    assert len(looks) == 16, "every task looks like no other"
    for legend in figure.legends[1:]:
        markers = [handle.get_marker() for handle in legend.legend_handles]
        assert len(set(markers)) == len(markers), "nor do shades alone tell tasks of a category apart"


def test_models_without_coordinates_are_named(root: Path) -> None:
    figure = scatter(probes_of(root, "llama", "never", "gptj"), ReportSpec())
    assert len(figure.axes) == 4
    assert [text.get_text() for text in figure.texts[1:]] == ["without coordinates, so not shown: never"]
    assert len(scatter(probes_of(root, "llama"), ReportSpec()).texts) == 1, "the title alone"


def test_points_have_the_colours_of_their_labels(root: Path) -> None:
    """Were columns mixed up, the legend would name the wrong points."""
    probe = probes_of(root, "llama")[0]
    figure = scatter([probe], ReportSpec())
    with np.load(probe.embeddings["5"]) as embedding:
        expected_N3 = embedding["coordinates_N3"][embedding["distribution"] == TASKS.index("Antonyms")]
    (handle,) = (
        handle
        for legend in figure.legends
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True)
        if text.get_text() == "Antonyms"
    )
    (drawn,) = (
        c for c in figure.axes[1].collections if to_hex(c.get_facecolors()[0][:3]) == to_hex(handle.get_color())
    )
    np.testing.assert_allclose(np.sort(drawn._offsets3d[0]), np.sort(expected_N3[:, 0]))


@pytest.mark.parametrize(
    ("there", "asked", "shown"),
    [("345", "", "3"), ("14", "", "4"), ("345", "5", "5"), (("final_norm",), "", "final norm")],
)
def test_the_layer_shown_is_the_one_asked_for_the_chosen_or_the_best_there_is(tmp_path, there, asked, shown) -> None:
    """Layer 3 is chosen, without reduction; its t-SNE space is shown all the same."""

    def value(row: ScoreRow) -> float:
        return like_the_paper(row, best=3) + 0.1 * (row.reducer == "none")

    write_facts(tmp_path, "mine", 8)
    write_rows(tmp_path, score_rows(value))
    write_embeddings(tmp_path, there)
    probe = read_probe(tmp_path, "run")
    assert probe.chosen == Place("3", "none")
    title = scatter([probe], ReportSpec(scatter_layer=asked)).axes[0].get_title()
    assert f"{shown}, F1" in title
    with pytest.raises(NotRun, match="of layer 7"):
        scatter([probe], ReportSpec(scatter_layer="7"))

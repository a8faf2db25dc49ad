"""How figures look: lines with their shade, nulls behind them, legends that fit, and words in empty panels."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.report import drawing
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import Run
from clusterlm_jax.report.words import NULLS
from tests.report.work_directories import NULL_LABELS, SYMBOLS, like_the_paper, score_rows, write_rows, write_run


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The mean of three seeds."""
    return read_main(write_run(tmp_path_factory.mktemp("seeds"), seeds=(0, 1, 2)))


@pytest.fixture
def panel():
    _, axes = drawing.grid(1, 1, "Title")
    return axes[0, 0]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def drawn(panel) -> dict[str, list[float]]:
    """The values of every line that has a label of its own."""
    return {line.get_label(): list(line.get_ydata()) for line in panel.lines if not line.get_label().startswith("_")}


def test_panels_are_of_the_size_asked_for() -> None:
    figure, axes = drawing.grid(2, 3, "Title", panel=(1.5, 1.2))
    width, height = figure.get_size_inches()
    assert axes.shape == (2, 3) and figure.get_suptitle() == "Title"
    for panel in axes.flat:
        box = panel.get_position()
        assert (box.width * width, box.height * height) == pytest.approx((1.5, 1.2))


def test_rows_and_columns_are_named_at_the_edges() -> None:
    _, axes = drawing.grid(2, 2, "Title")
    drawing.name_panels(axes, ["F1", "ARI"], ["by task", "by mapping"], "layer")
    assert [panel.get_title(loc="left") for panel in axes[0]] == ["by task", "by mapping"]
    assert [panel.get_ylabel() for panel in axes[:, 0]] == ["F1", "ARI"]
    assert [panel.get_xlabel() for panel in axes.flat] == ["", "", "layer", "layer"]


def test_every_layer_has_a_line_of_its_own_and_the_final_norm_is_apart(seeds: Run) -> None:
    lines = [drawing.layer_line(seeds, layer) for layer in seeds.layers]
    assert len({tuple(line["color"]) for line in lines}) == 5
    assert lines[-1]["color"] == "black" and all(line["linestyle"] == "-" for line in lines[:-1])


def test_a_panel_has_the_curve_of_every_layer_with_the_nulls_and_the_best_epoch(panel, seeds: Run) -> None:
    run = seeds.members[0]
    drawing.layer_curves(panel, run, split="training_subset", label="distribution", score="ari")
    values = [list(line.get_ydata()) for line in panel.lines]
    for layer in run.layers:
        of = {"split": "training_subset", "label": "distribution"}
        assert list(run.curve(layer=layer, score="ari", **of).values()) in values
    assert set(drawn(panel)) == set(NULLS.values()) - {NULLS["regrouped"]}
    (best,) = (line for line in panel.lines if len(line.get_xdata()) == 2)
    assert list(best.get_xdata()) == [5, 5]
    assert not [shade for shade in panel.collections if isinstance(shade, PolyCollection)]


def test_several_seeds_are_shaded(panel, seeds: Run) -> None:
    drawing.layer_curves(panel, seeds, score="f1")
    assert len([shade for shade in panel.collections if isinstance(shade, PolyCollection)]) == len(seeds.layers)


def test_a_panel_without_rows_says_what_is_missing(panel, seeds: Run) -> None:
    drawing.layer_curves(panel, seeds, label="mapping", score="knn_accuracy")
    assert [text.get_text() for text in panel.texts] == ["not run\n(no knn accuracy by mapping)"]


@pytest.mark.parametrize("score", ["variance_share", "hard_with_own"])
def test_shares_have_no_nulls(panel, seeds: Run, score: str) -> None:
    drawing.layer_curves(panel, seeds, split="training_subset" if "hard" in score else "validation", score=score)
    assert panel.lines and not drawn(panel)


def test_nulls_are_not_drawn_without_rows(panel, tmp_path: Path) -> None:
    rows = [row for row in score_rows(like_the_paper) if row.label not in NULL_LABELS and row.run != SYMBOLS]
    write_rows(tmp_path, [row for row in rows if row.epoch > 0])
    run = read_main(tmp_path)
    drawing.layer_curves(panel, run, score="f1")
    assert not drawn(panel)
    assert drawing.null_legend(panel.figure) == 0.0
    drawing.layer_legend(panel.figure, run)
    assert len(panel.figure.legends) == 1


def test_the_line_is_the_mean_and_the_shade_a_standard_deviation(panel, seeds: Run) -> None:
    drawing.metric_curves(panel, seeds, "validation_accuracy", color="black")
    accuracy_SE = np.array([list(run.metrics["validation_accuracy"].values()) for run in seeds.members])
    (line,), (shade,) = panel.lines, panel.collections
    np.testing.assert_allclose(line.get_ydata(), accuracy_SE.mean(axis=0))
    at_last = shade.get_paths()[0].vertices
    low, high = np.sort(at_last[at_last[:, 0] == 8][:, 1])[[0, -1]]
    mean, deviation = accuracy_SE[:, -1].mean(), accuracy_SE[:, -1].std(ddof=1)
    assert (low, high) == pytest.approx((mean - deviation, mean + deviation))


def test_a_metric_that_is_not_there_is_not_drawn(panel, seeds: Run) -> None:
    drawing.metric_curves(panel, seeds, "no_such_metric", color="black")
    assert not panel.lines


@pytest.mark.parametrize(("epochs", "marker"), [(60, "o"), (61, "")])
def test_epochs_are_dots_while_they_can_be_told_apart(panel, epochs: int, marker: str) -> None:
    drawing.draw_curve(panel, dict.fromkeys(range(epochs), 0.5), color="black")
    assert panel.lines[0].get_marker() == marker


def test_the_seeds_of_a_place_are_points_with_a_bar_at_their_mean(panel) -> None:
    drawing.draw_seeds(panel, 2, [0.2, 0.4, 0.9], color="red")
    (points,), (bar,) = panel.lines, panel.collections
    assert [list(points.get_xdata()), list(points.get_ydata())] == [[2, 2, 2], [0.2, 0.4, 0.9]]
    ((start, end),) = bar.get_segments()
    assert (start[1], end[1]) == pytest.approx((0.5, 0.5)) and start[0] < 2 < end[0]
    assert [handle.get_label() for handle in drawing.seed_handles()] == ["a seed", "mean"]


def test_the_legend_names_layers_best_epoch_seeds_and_the_nulls_drawn(panel, seeds: Run) -> None:
    drawing.layer_curves(panel, seeds, label="distribution", score="f1")
    drawing.layer_legend(panel.figure, seeds)
    assert sorted(words(panel.figure)) == sorted(
        [
            *("embedding (0)", "layer 1", "layer 2", "layer 3", "final norm"),
            *("best epoch (5)", "mean ± std of 3 seeds"),
            *(NULLS[name] for name in ("symbols", "untrained", "shuffled")),
        ]
    )
    assert drawing.deviation_handle(seeds.members[0]) == []


def test_a_legend_of_many_entries_takes_more_rows() -> None:
    figure, _ = drawing.grid(1, 1, "Title")
    few, many = ([Line2D([], [], label=f"entry {index}") for index in range(count)] for count in (2, 20))
    assert drawing.legend(figure, many) > drawing.legend(figure, few) > 0


def test_points_of_a_space_are_drawn_once_each_by_label() -> None:
    figure = Figure()
    axes = figure.add_subplot(projection="3d")
    label_N = np.array([0, 0, 5, 0, 5])
    colours = {0: {"color": "red"}, 5: {"color": "blue"}}
    drawing.scatter_groups(axes, np.arange(15.0).reshape(5, 3), label_N, colours.__getitem__, zoom=0.9, s=4)
    assert [len(group.get_offsets()) for group in axes.collections] == [3, 2]
    assert (axes.get_xlabel(), axes.get_zlabel()) == ("t-SNE 1", "t-SNE 3")


@pytest.mark.parametrize(("form", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_figure_is_rendered_to_the_same_bytes_again(form: str, start: bytes) -> None:
    with matplotlib.rc_context(drawing.STYLE):
        first, again = (drawing.render(drawing.grid(1, 1)[0], form, "Its heading") for _ in range(2))
    assert first.startswith(start) and first == again
    assert b"Its heading" in first, "a file that stands alone says what it is"


def test_a_subtitle_has_room_of_its_own_only_where_there_is_one() -> None:
    (with_one, _), (without, _) = drawing.grid(1, 1, "validation"), drawing.grid(1, 1)
    assert (with_one.get_suptitle(), without.get_suptitle()) == ("validation", "")
    assert with_one.get_figheight() > without.get_figheight()


def test_no_two_numbers_are_marked_alike() -> None:
    """The data has 50 tasks; the ten of the validation split differ by colour alone."""
    marks = [drawing.mark(number) for number in range(300)]
    assert len({tuple(mark.values()) for mark in marks}) == 300
    assert len({mark["color"] for mark in marks[:10]}) == 10
    figure = Figure()
    axes = figure.add_subplot()
    for mark in marks:
        axes.scatter([0], [0], **mark)  # each is one that matplotlib knows

"""Our own figures: their curves and points, each from the rows that belong to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterlm_jax.experiments.emergence import own_figures
from clusterlm_jax.experiments.emergence.timing import TIMED
from clusterlm_jax.records import SPLITS, ScoreRow
from clusterlm_jax.report.reading import read_main
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.words import NULLS, SPACES
from tests.report import work_directories as made


def read(workdir: Path, value=made.like_the_paper, keep=lambda row: True) -> Run:
    made.write_rows(workdir, [row for row in made.score_rows(value) if keep(row)])
    made.write_metrics(workdir, made.metric_records())
    return read_main(workdir)


def told_apart(row: ScoreRow) -> float:
    """Every instrument, layer and epoch has a value of its own, so that a curve from the wrong rows shows."""
    names = [score for score, _ in own_figures.INSTRUMENTS]
    if row.label == "task" and row.score in names and row.split == "validation" and row.run == "main":
        layer = 9 if row.layer == "final_norm" else int(row.layer)
        return 0.1 * names.index(row.score) + 0.01 * layer + 0.001 * row.epoch
    return made.like_the_paper(row)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read_main(made.write_run(tmp_path_factory.mktemp("run")))


def test_each_panel_shows_the_curves_of_its_own_score(tmp_path: Path) -> None:
    """Breaks when a panel takes another score, another split or a reduced space."""
    figure = own_figures.figure_instruments(read(tmp_path, told_apart))
    assert len(figure.axes) == len(own_figures.INSTRUMENTS)
    for place, (panel, (score, _)) in enumerate(zip(figure.axes, own_figures.INSTRUMENTS, strict=True)):
        drawn = [[round(value, 4) for value in line.get_ydata()] for line in panel.lines]
        for layer, tens in (("0", 0), ("3", 3), ("final_norm", 9)):
            expected = [round(0.1 * place + 0.01 * tens + 0.001 * epoch, 4) for epoch in range(9)]
            assert expected in drawn, (score, layer)


def test_nulls_are_drawn_with_the_instruments(run: Run) -> None:
    figure = own_figures.figure_instruments(run)
    across = {line.get_label(): list(line.get_ydata()) for line in figure.axes[1].lines}
    probe = {line.get_label(): list(line.get_ydata()) for line in figure.axes[4].lines}
    shuffled, regrouped, untrained = (NULLS[name] for name in ("shuffled", "regrouped", "untrained"))
    assert across[shuffled] == pytest.approx([0.1] * 9)
    assert probe[regrouped] == pytest.approx([0.25] * 9)
    assert across[untrained] == pytest.approx([0.15] * 9)
    assert regrouped not in across and shuffled not in probe


def test_the_first_panel_names_the_reducer(run: Run) -> None:
    assert own_figures.figure_instruments(run).axes[0].get_title(loc="left") == "(a) KMeans (t-SNE):\ntask F1"


def test_each_space_has_a_column_of_its_own_curves(run: Run) -> None:
    figure = own_figures.figure_spaces(run)
    cells = [(split, space) for split in SPLITS for space in SPACES]
    for panel, (split, space) in zip(figure.axes, cells, strict=True):
        curve = run.curve(split=split, layer="3", reducer=space, score="f1")
        assert list(curve.values()) in [list(line.get_ydata()) for line in panel.lines]
    titles = [panel.get_title(loc="left") for panel in figure.axes[:3]]
    assert titles == [SPACES["none"], f"{SPACES['tsne']} (in the other figures)", SPACES["input_removed"]]


def test_each_label_has_a_panel_of_its_variance(run: Run) -> None:
    figure = own_figures.figure_variance(run)
    for panel, label in zip(figure.axes, own_figures.VARIANCE_LABELS, strict=True):
        curve = run.curve(layer="3", label=label, score="variance_share")
        assert list(curve.values()) in [list(line.get_ydata()) for line in panel.lines]
    assert figure.axes[4].get_title(loc="left") == "by input symbol"


def test_hard_examples_are_drawn_of_each_layer(run: Run) -> None:
    assert [len(panel.lines) for panel in own_figures.figure_hard(run).axes] == [len(run.layers) + 1] * 2


def test_what_was_not_scored_is_not_drawn(tmp_path: Path) -> None:
    run = read(tmp_path, keep=lambda row: row.score in ("f1", "ari", "ami") and row.reducer == "none")
    for figure in ("instruments", "spaces", "variance", "hard", "scatter"):
        with pytest.raises(NotRun):
            getattr(own_figures, f"figure_{figure}")(run)


def test_the_figure_draws_what_rises_and_names_what_does_not(tmp_path: Path) -> None:
    run = read(tmp_path, lambda row: 0.3 if row.label == "mapping" else made.like_the_paper(row))
    figure = own_figures.figure_timing(run)
    assert len(figure.axes) == 3
    for axes in figure.axes:
        marks = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
        assert sorted(marks) == [3, 4, 4, 4, 4, 4, 4], "task first; not the mapping"
        assert [text.get_text() for text in axes.texts] == ["no rise: by mapping"]
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == {*TIMED.values(), "half-rise"}


def test_one_analysed_epoch_times_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotRun):
        own_figures.figure_timing(read(tmp_path, keep=lambda row: row.epoch == 0))


def test_the_best_layer_is_one_of_the_paper(tmp_path: Path) -> None:
    run = read(tmp_path, lambda row: {"2": 0.8, "final_norm": 0.9}.get(row.layer, 0.5))
    assert own_figures.best_layer(run) == "2"


@pytest.mark.parametrize(
    ("best", "shown"),
    [(5, ["0", "1", "2", "5 (best)", "8"]), (0, ["0 (best)", "1", "3", "8"]), (8, ["0", "1", "3", "8 (best)"])],
)
def test_the_scatter_shows_first_halfway_peak_best_and_last(tmp_path: Path, best: int, shown: list[str]) -> None:
    """The layer shown has its highest F1 at epoch 1."""

    def value(row: ScoreRow) -> float:
        return 0.99 if (row.layer, row.epoch) == ("3", 1) else made.like_the_paper(row)

    read(tmp_path, value, keep=lambda row: row.label == "task")
    made.write_facts(tmp_path, best)
    made.write_embeddings(tmp_path, (0, 1, 2, 3, 5, 8), ("3", "1"))
    figure = own_figures.figure_scatter(read_main(tmp_path))
    assert [axes.get_title().split(",")[0].removeprefix("epoch ") for axes in figure.axes] == shown
    assert "layer 3" in figure.get_suptitle(), "the best layer by validation task F1"


def test_the_scatter_obeys_the_spec(tmp_path: Path) -> None:
    made.write_embeddings(tmp_path, (0, 1, 2), ("1", "2"), points=30)
    run = read_main(tmp_path)
    figure = own_figures.figure_scatter(run, ReportSpec(scatter_layer="1", scatter_epochs=(2, 0, 7)))
    assert "layer 1" in figure.get_suptitle() and len(figure.axes) == 2
    points = sum(len(collection.get_offsets()) for collection in figure.axes[0].collections)
    assert points == 30, "every instance is drawn once"
    for spec in (ReportSpec(scatter_layer="final_norm"), ReportSpec(scatter_epochs=(9,))):
        with pytest.raises(NotRun):
            own_figures.figure_scatter(run, spec)


def test_the_scatter_is_the_first_seed_s_and_says_so(tmp_path: Path) -> None:
    seeds = read_main(made.write_run(tmp_path, seeds=(0, 1)))
    figure = own_figures.figure_scatter(seeds)
    assert figure.get_suptitle().endswith("seed 0")
    f1 = seeds.members[0].curve(layer="3", reducer="tsne", score="f1")[8]
    assert figure.axes[-1].get_title() == f"epoch 8, F1 {f1:.2f}"
    assert "seed" not in own_figures.figure_scatter(seeds.members[0]).get_suptitle()

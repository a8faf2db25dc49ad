"""The page of an alignment run, and of several such runs side by side (paper F.1, table 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from clusterlm_jax.experiments.alignment.claims import CLAIMS
from clusterlm_jax.experiments.alignment.figures import BOTH, FIGURES, draw_four, four_handles
from clusterlm_jax.experiments.alignment.methods import FOUR, LEARNT, METRICS, WORDS, Methods, read_methods
from clusterlm_jax.experiments.alignment.tables import TABLES
from clusterlm_jax.report import comparison, paper
from clusterlm_jax.report.comparison import Point, claims_entry, known, panels, read_points, table_of
from clusterlm_jax.report.page import PAPER, figure, table
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import Table, over_seeds, shown
from clusterlm_jax.report.training import epochs_words, publish_training
from clusterlm_jax.report.words import counted, layer_words

QUESTION = "Can a few tasks change their outputs while the others stay?"
INTRODUCTION = (
    "A GPT-2 learned synthetic instruction-following tasks. Some of them, the <em>source</em> tasks, stand for toxic "
    "behaviour; each has a healthier <em>target</em> with the same inputs. The model was then aligned in four ways, so "
    "that it answers source instructions with the targets' outputs. This is appendix F.1 of " + PAPER + "."
)


def write(workdir: Path, spec: ReportSpec) -> Path:
    """Writes `figures/`, `tables/` and `report.html`, as far as the run has come; returns the path of the page.

    Raises:
      UserError: there is no such work directory, or a file in it is damaged.
    """
    methods = read_methods(workdir)
    best = over_seeds([seed.base.facts.get("best", {}).get("validation_accuracy") for seed in methods.each_seed])
    epochs = ("Epochs trained", epochs_words(methods.phases))
    return publish_training(
        methods,
        methods.base,
        workdir,
        spec,
        question=QUESTION,
        introduction=INTRODUCTION,
        sentences=(_drops, _mistakes, _best_layers),
        lead="figure_table_11",
        facts=(epochs, ("Base model, best validation accuracy", shown(best))),
        claims=CLAIMS,
        figures=FIGURES,
        tables=TABLES,
        heading=lambda entry: entry.title,
    )


def _drops(methods: Methods) -> str:
    methods.require()
    words = (
        f"{WORDS[kind]} {shown(over_seeds(methods.values(run, 'accuracy_drop')))} (paper {of_paper:.3f})"
        for (kind, run), (_, of_paper) in zip(methods.four.items(), paper.ALIGNMENT.values(), strict=True)
    )
    return f"Accuracy that the other tasks lose: {', '.join(words)}."


def _mistakes(methods: Methods) -> str:
    words = (
        f"the {WORDS[kind]} is on for {methods.value(methods.four[kind], 'switch_recall'):.1%} of the source instances "
        f"and {methods.value(methods.four[kind], 'false_alarms'):.1%} of the others"
        for kind in LEARNT
    )
    examples = counted(methods.examples[0], "example")
    return f"With {examples} of each other task, {'; '.join(words)} (validation)."


def _best_layers(methods: Methods) -> str:
    words = []
    for kind in LEARNT:
        drops, recalls = (
            {at: methods.value(methods.at_layer(kind, at), metric) for at in methods.layers}
            for metric in ("accuracy_drop", "switch_recall")
        )
        best = max(methods.layers, key=lambda at: recalls[at] - drops[at])
        numbers = f"recall {recalls[best]:.3f}, drop {drops[best]:.3f}"
        words.append(f"{layer_words(best)} for the {WORDS[kind]} ({numbers})")
    return f"The layer with the highest recall less drop is {' and '.join(words)}."


def compare(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Writes the page of several runs side by side, as far as each has come; returns its path."""
    points = read_points(read_methods, _progress, workdirs, into)
    return comparison.write(QUESTION, points, (compared_drops,), (claims_entry(CLAIMS), compared_table_11), into, spec)


def _progress(methods: Methods) -> str:
    methods.require()
    return f"seeds {', '.join(map(str, methods.seeds))}"


@figure(
    "figure_table_11",
    "What each method forgets (table 11)",
    "Accuracy that the other validation tasks lose; below 0 they gain.",
)
def compared_drops(points: Sequence[Point[Methods]]) -> Figure:
    return panels(points, "validation", draw_four, four_handles())


@table("table_11", "Table 11", "Of several seeds the mean and the sample standard deviation.")
def compared_table_11(points: Sequence[Point[Methods]]) -> Table:
    rows = (
        ((METRICS[metric], WORDS[kind]), [over_seeds(p.run.values(p.run.four[kind], metric)) for p in known(points)])
        for metric in BOTH
        for kind in FOUR
    )
    return table_of(("of the validation tasks", "method"), known(points), rows)

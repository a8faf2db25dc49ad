"""The figures of the alignment experiment: what each method gains and forgets, and what its switch mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.analysis.answers import ROLES
from clusterlm_jax.experiments.alignment.methods import FINE_TUNINGS, FOUR, LEARNT, METRICS, WORDS, Methods, variant
from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report import drawing, paper
from clusterlm_jax.report.drawing import CATEGORIES
from clusterlm_jax.report.page import figure
from clusterlm_jax.report.run import NotRun

COLORS = dict(zip(FOUR, CATEGORIES, strict=False))
TICKS = ("direct", "head", "linear\nswitch", "MLP\nswitch")
ROLE_COLORS = dict(zip(ROLES, (CATEGORIES[5], CATEGORIES[4], "0.6"), strict=True))
ROLE_WORDS = dict(zip(ROLES, ("source task", "its target", "other task"), strict=True))
BOTH = ("source_accuracy", "accuracy_drop")
OF_SWITCHES = ("switch_recall", "false_alarms", "accuracy_drop")
FINE_TUNING = {"(a) source tasks, updated outputs": "validation_accuracy", "(b) the other tasks": "others_accuracy"}


@figure(
    "figure_table_11",
    "What each method gains and forgets (table 11)",
    "Left: validation instances of the source tasks answered as their targets would. Right: accuracy that the other "
    "validation tasks lose; below 0 they gain.",
)
def figure_table_11(methods: Methods) -> Figure:
    methods.require()
    figure, axes = drawing.grid(1, 2, "validation", panel=(3.0, 1.9), gap=0.7)
    for panel, metric in zip(axes[0], BOTH, strict=True):
        draw_four(panel, methods, metric)
    axes[0, 0].set_ylim(-0.03, 1.05)
    drawing.legend(figure, four_handles())
    return figure


def draw_four(panel: Axes, methods: Methods, metric: str = "accuracy_drop") -> None:
    """A metric of the four methods: every seed, their mean, and the paper's."""
    for place, (kind, run) in enumerate(methods.four.items()):
        # Left of the tick ours, right of it the paper's: neither hides the other.
        drawing.draw_seeds(panel, place - 0.1, methods.values(run, metric), color=COLORS[kind])
        number = paper.ALIGNMENT[kind][BOTH.index(metric)]
        panel.plot(place + 0.22, number, "D", color="black", markersize=4, fillstyle="none")
    panel.axhline(0, color=".4", linewidth=0.8)
    panel.set_ylim(bottom=min(-0.02, panel.get_ylim()[0]))
    panel.set_xticks(range(len(TICKS)), TICKS)
    panel.set_xlim(-0.5, len(TICKS) - 0.5)
    panel.set_ylabel(METRICS[metric])


def four_handles() -> list[Line2D]:
    of_paper = Line2D([], [], color="black", marker="D", fillstyle="none", linestyle="", label="the paper")
    return [*drawing.seed_handles(), of_paper]


@figure(
    "figure_fine_tuning",
    "Learning and forgetting",
    "Dashed: the epoch that is kept, the first with the best accuracy on updated source tasks. What the model forgets "
    "after it is not counted.",
)
def figure_fine_tuning(methods: Methods) -> Figure:
    if not any(methods.phases[phase].metrics for phase in FINE_TUNINGS):
        raise NotRun("no fine-tuning has begun")
    figure, axes = drawing.grid(1, 2, "validation", panel=(3.0, 1.9), gap=0.6)
    for panel, (title, metric) in zip(axes[0], FINE_TUNING.items(), strict=True):
        for phase, kind in zip(FINE_TUNINGS, FOUR, strict=False):
            drawing.metric_curves(panel, methods.phases[phase], metric, color=COLORS[kind])
            for member in methods.phases[phase].each_seed:
                drawing.mark_best(panel, member, color=COLORS[kind])
        panel.set_title(title, loc="left")
        panel.set(xlabel="epoch of fine-tuning", ylabel="accuracy", ylim=(-0.03, 1.03))
        drawing.epoch_axis(panel)
    of_seed = " of a seed" if methods.members else ""
    chosen = Line2D([], [], label=f"chosen epoch{of_seed}", **(drawing.BEST | {"color": ".4"}))
    handles = _kind_handles(FOUR[: len(FINE_TUNINGS)])
    drawing.legend(figure, [*handles, chosen, *drawing.deviation_handle(methods.base)])
    return figure


@figure(
    "figure_tasks",
    "What the switches mistake",
    "Share of a task's validation instances that the switch takes for a source task's, trained with the paper's number "
    "of examples. All of a source task should be switched on, none of any other. A target shares its source's inputs, "
    "and after the update its outputs.",
)
def figure_tasks(methods: Methods) -> Figure:
    methods.require()
    size, seeds = (3.0, 1.0), methods.each_seed
    figure, axes = drawing.grid(len(seeds), len(LEARNT), "validation", size, gap=0.45)
    for row, member in zip(axes, seeds, strict=True):
        for panel, kind in zip(row, LEARNT, strict=True):
            _task_bars(panel, [task for task in member.tasks if task["run"] == methods.four[kind]])
            panel.set_title(f"{WORDS[kind]}, seed {member.seeds[0]}", loc="left")
        row[0].set_ylabel("switched on")
    for panel in axes[-1]:
        panel.set_xlabel("task")
    handles = [Line2D([], [], color=ROLE_COLORS[role], linewidth=6, label=ROLE_WORDS[role]) for role in ROLES]
    drawing.legend(figure, handles)
    return figure


def _task_bars(panel: Axes, tasks: Sequence[dict]) -> None:
    if not tasks:
        drawing.say_not_run(panel, "not measured")
        return
    for place, row in enumerate(tasks):
        panel.bar(place, row["switched_on"] / row["instances"], color=ROLE_COLORS[row["role"]], width=0.7)
    panel.set_xticks(range(len(tasks)), [row["task"] for row in tasks])
    panel.set_ylim(0, 1.03)
    panel.grid(False, axis="x")


@figure(
    "figure_examples",
    "More examples of the other tasks",
    "The paper has one example of each other task and expects more of them to help.",
)
def figure_examples(methods: Methods) -> Figure:
    methods.require()
    figure, panels = _of_switches("examples of each other task")
    for metric, panel in panels.items():
        for kind, beside in zip(LEARNT, (-0.1, 0.1), strict=True):
            look = {"width": 0.08, "markersize": 3.5, "alpha": 0.6, "color": COLORS[kind]}
            for place, number in enumerate(methods.examples):
                values = methods.values(variant(kind, examples=number), metric)
                if None not in values:
                    drawing.draw_seeds(panel, place + beside, values, **look)
        panel.set_xticks(range(len(methods.examples)), methods.examples)
        panel.set_xlim(-0.5, len(methods.examples) - 0.5)
    _finish(figure, panels, drawing.seed_handles())
    return figure


@figure(
    "figure_layers",
    "Switches on other layers",
    "Each switch is trained again on the states of one layer, with the paper's number of examples. Norm: after the "
    "final norm, what the heads read.",
)
def figure_layers(methods: Methods) -> Figure:
    methods.require()
    figure, panels = _of_switches("layer")
    for metric, panel in panels.items():
        for kind in LEARNT:
            values = [methods.values(methods.at_layer(kind, layer), metric) for layer in methods.layers]
            value_LZ = np.array(values, float)  # S: seed; not a number where it was not measured
            deviation = dict(enumerate(value_LZ.std(axis=1, ddof=1))) if methods.members else None
            drawing.draw_curve(panel, dict(enumerate(value_LZ.mean(axis=1))), deviation, color=COLORS[kind])
        ticks = ["norm" if layer == FINAL_NORM else layer for layer in methods.layers]
        panel.set_xticks(range(len(ticks)), ticks)
    _finish(figure, panels, drawing.deviation_handle(methods.base))
    return figure


FIGURES = (figure_table_11, figure_fine_tuning, figure_tasks, figure_examples, figure_layers)


def _of_switches(below: str) -> tuple[Figure, dict[str, Axes]]:
    """A panel for each metric of a switch: its own two kinds of mistakes, and the drop."""
    figure, axes = drawing.grid(1, len(OF_SWITCHES), "validation", gap=0.6)
    panels = dict(zip(OF_SWITCHES, axes[0], strict=True))
    for metric, panel in panels.items():
        panel.set(xlabel=below, ylabel=METRICS[metric])
    return figure, panels


def _finish(figure: Figure, panels: dict[str, Axes], handles: Sequence[Line2D]) -> None:
    """Shares end at 1; false alarms and drops begin at 0, or lower where there is something to see."""
    recall, *others = panels.values()
    recall.set_ylim(min(0.9, recall.get_ylim()[0]), 1.01)
    for panel in others:
        panel.set_ylim(bottom=min(-0.01, panel.get_ylim()[0]))
    drawing.legend(figure, [*_kind_handles(LEARNT), *handles])


def _kind_handles(kinds: Sequence[str]) -> list[Line2D]:
    return [Line2D([], [], color=COLORS[kind], label=WORDS[kind]) for kind in kinds]

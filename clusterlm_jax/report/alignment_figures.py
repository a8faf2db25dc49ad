"""The figures of the alignment experiment: what each method gains and forgets, and what its switch mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report.gallery import FigureEntry
from clusterlm_jax.report.methods import FINE_TUNINGS, LEARNT, METRICS, PAPER, Methods
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.style import BEST, CATEGORIES, draw_curve, grid, legend, say_not_run, seeds_handle

KINDS = dict(zip(PAPER, CATEGORIES, strict=False))
SHORT = {"direct": "direct", "head": "head", "linear_switch": "linear\nswitch", "mlp_switch": "MLP\nswitch"}
ROLES = {"source": CATEGORIES[5], "target": CATEGORIES[4], "other": "0.6"}
SOURCE, OTHERS = "validation_accuracy", "others_accuracy"


def figure_11(methods: Methods) -> Figure:
    """Source accuracy and accuracy drop of the four methods, seed by seed, beside the paper's."""
    _require(methods)
    figure, axes = grid(1, 2, "Four methods to update the source tasks", panel=(3.0, 1.9), gap=0.7)
    for panel, metric in zip(axes[0], ("source_accuracy", "accuracy_drop"), strict=True):
        draw_four(panel, methods, metric)
    axes[0, 0].set_ylim(-0.03, 1.05)
    legend(figure, four_handles())
    return figure


def draw_four(panel: Axes, methods: Methods, metric: str) -> None:
    """A metric of the four methods: every seed, their mean, and the paper's."""
    number = ("source_accuracy", "accuracy_drop").index(metric)
    for place, (kind, run) in enumerate(methods.four.items()):
        values = methods.values(run, metric)
        panel.plot([place - 0.1] * len(values), values, "o", color=KINDS[kind], markersize=4, alpha=0.7)
        panel.hlines(np.mean(values), place - 0.28, place + 0.08, color=KINDS[kind])
        panel.plot(place + 0.22, PAPER[kind][number], "D", color="black", markersize=4, fillstyle="none")
    panel.axhline(0, color=".4", linewidth=0.8)
    panel.set_ylim(bottom=min(-0.02, panel.get_ylim()[0]))
    panel.set_xticks(range(len(SHORT)), SHORT.values())
    panel.set_xlim(-0.5, len(SHORT) - 0.5)
    panel.set_ylabel(METRICS[metric])


def four_handles() -> list[Line2D]:
    return [
        Line2D([], [], color=".4", marker="o", linestyle="", label="a seed"),
        Line2D([], [], color=".4", label="mean"),
        Line2D([], [], color="black", marker="D", fillstyle="none", linestyle="", label="the paper"),
    ]


def figure_fine_tuning(methods: Methods) -> Figure:
    """What the two fine-tunings gain and forget, epoch by epoch."""
    if not any(methods.phases[phase].metrics for phase in FINE_TUNINGS):
        raise NotRun("no fine-tuning has begun")
    figure, axes = grid(1, 2, "Fine-tuning on updated source tasks, validation", panel=(3.0, 1.9), gap=0.6)
    titles = ("(a) source tasks, updated outputs", "(b) the other tasks")
    for panel, metric, title in zip(axes[0], (SOURCE, OTHERS), titles, strict=True):
        for phase, color in zip(FINE_TUNINGS, CATEGORIES, strict=False):
            run = methods.phases[phase]
            if metric in run.metrics:
                draw_curve(panel, run.metrics[metric], run.deviations.get(metric), color=color)
            for member in methods.each_seed:
                if (epoch := member.phases[phase].facts.get("best", {}).get("epoch")) is not None:
                    panel.axvline(epoch, zorder=1, **(BEST | {"color": color}))
        panel.set_title(title, loc="left")
        panel.set(xlabel="epoch of fine-tuning", ylabel="accuracy")
        panel.set_ylim(-0.03, 1.03)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    handles = [
        Line2D([], [], color=color, label=words)
        for words, color in zip(FINE_TUNINGS.values(), CATEGORIES, strict=False)
    ]
    chosen = Line2D(
        [], [], label="chosen epoch" + (" of a seed" if methods.members else ""), **(BEST | {"color": ".4"})
    )
    legend(figure, [*handles, chosen, *seeds_handle(methods.base)])
    return figure


def figure_tasks(methods: Methods) -> Figure:
    """Share of the instances of every validation task that a switch takes for a source task's: seeds by switches."""
    _require(methods)
    seeds = methods.each_seed
    size = (3.0, 1.0)
    figure, axes = grid(len(seeds), len(LEARNT), "Instances switched on, by validation task", panel=size, gap=0.45)
    for row, member in zip(axes, seeds, strict=True):
        for panel, kind in zip(row, LEARNT, strict=True):
            _task_bars(panel, member, methods.four[kind])
            panel.set_title(f"{LEARNT[kind]}, seed {member.seeds[0]}", loc="left")
        row[0].set_ylabel("switched on")
    for panel in axes[-1]:
        panel.set_xlabel("task")
    words = {"source": "source task", "target": "its target", "other": "other task"}
    handles = [Line2D([], [], color=color, linewidth=6, label=words[role]) for role, color in ROLES.items()]
    legend(figure, handles)
    return figure


def _task_bars(panel: Axes, seed: Methods, run: str) -> None:
    rows = [row for row in seed.tasks if row["run"] == run]
    if not rows:
        say_not_run(panel, "not measured")
        return
    for place, row in enumerate(rows):
        panel.bar(place, row["switched_on"] / row["instances"], color=ROLES[row["role"]], width=0.7)
    panel.set_xticks(range(len(rows)), [row["task"] for row in rows])
    panel.set_ylim(0, 1.03)
    panel.grid(False, axis="x")


def figure_layers(methods: Methods) -> Figure:
    """The learnt switches on the states of each layer: their own mistakes, and the drop."""
    _require(methods)
    metrics = ("switch_recall", "false_alarms", "accuracy_drop")
    figure, axes = grid(1, len(metrics), "Switches on the states of each layer", gap=0.6)
    for panel, metric in zip(axes[0], metrics, strict=True):
        for kind in LEARNT:
            points_LS = np.array(
                [methods.values(methods.at_layer(kind, layer), metric) for layer in methods.layers], float
            )
            curve = dict(enumerate(points_LS.mean(axis=1)))
            spread = dict(enumerate(points_LS.std(axis=1, ddof=1))) if methods.members else None
            draw_curve(panel, curve, spread, color=KINDS[kind])
        panel.set_xticks(range(len(methods.layers)), ["norm" if n == FINAL_NORM else n for n in methods.layers])
        panel.set(xlabel="layer", ylabel=METRICS[metric])
    _limit(axes[0])
    legend(figure, [*_kind_handles(LEARNT), *seeds_handle(methods.base)])
    return figure


def figure_examples(methods: Methods) -> Figure:
    """The same over the number of examples of each other task."""
    _require(methods)
    metrics = ("switch_recall", "false_alarms", "accuracy_drop")
    figure, axes = grid(1, len(metrics), "Switches by the examples of each other task", gap=0.6)
    for panel, metric in zip(axes[0], metrics, strict=True):
        for kind, number in itertools.product(LEARNT, range(len(methods.examples))):
            values = methods.values(f"{kind}/examples={methods.examples[number]}", metric)
            place = number + (-0.1, 0.1)[list(LEARNT).index(kind)]
            known = [value for value in values if value is not None]
            panel.plot([place] * len(known), known, "o", color=KINDS[kind], markersize=3.5, alpha=0.6)
            if known:
                panel.hlines(np.mean(known), place - 0.08, place + 0.08, color=KINDS[kind])
        panel.set_xticks(range(len(methods.examples)), methods.examples)
        panel.set_xlim(-0.5, len(methods.examples) - 0.5)
        panel.set(xlabel="examples of each other task", ylabel=METRICS[metric])
    _limit(axes[0])
    seed = [
        Line2D([], [], color=".4", marker="o", linestyle="", label="a seed"),
        Line2D([], [], color=".4", label="mean"),
    ]
    legend(figure, [*_kind_handles(LEARNT), *seed])
    return figure


def _limit(panels: Sequence[Axes]) -> None:
    """Shares end at 1; false alarms and drops begin at 0, or lower where there is something to see."""
    panels[0].set_ylim(min(0.9, panels[0].get_ylim()[0]), 1.01)
    for panel in panels[1:]:
        panel.set_ylim(bottom=min(-0.01, panel.get_ylim()[0]))


def _kind_handles(kinds: Sequence[str]) -> list[Line2D]:
    return [Line2D([], [], color=KINDS[kind], label=LEARNT[kind]) for kind in kinds]


def _require(methods: Methods) -> None:
    if not methods.complete:
        raise NotRun("the methods have not been measured")


FIGURES = (
    FigureEntry(
        "figure_11",
        "What each method gains and forgets (table 11)",
        "Left: validation instances of the source tasks answered as their targets would. Right: accuracy that the "
        "other validation tasks lose; below 0 they gain.",
        lambda methods, spec: figure_11(methods),
    ),
    FigureEntry(
        "figure_fine_tuning",
        "Learning and forgetting",
        "Dashed: the epoch that is kept, the first with the best accuracy on updated source tasks. What the model "
        "forgets after it is not counted.",
        lambda methods, spec: figure_fine_tuning(methods),
    ),
    FigureEntry(
        "figure_tasks",
        "What the switches mistake",
        "Share of a task's validation instances that the switch takes for a source task's, trained with the paper's "
        "number of examples. All of a source task should be switched on, none of any other. A target shares its "
        "source's inputs, and after the update its outputs.",
        lambda methods, spec: figure_tasks(methods),
    ),
    FigureEntry(
        "figure_examples",
        "More examples of the other tasks",
        "The paper has one example of each other task and expects more of them to help.",
        lambda methods, spec: figure_examples(methods),
    ),
    FigureEntry(
        "figure_layers",
        "Switches on other layers",
        "Each switch is trained anew on the states of one layer, with the paper's number of examples. Norm: after the "
        "final norm, what the heads read.",
        lambda methods, spec: figure_layers(methods),
    ),
)

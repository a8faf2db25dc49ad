"""The figures of the three starts: figure 5 of the paper and the learning curves behind it."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clusterlm_jax.experiments.pretraining.starts import EPOCHS_TO, INSTRUCTION, STARTS, TASK_ID, Starts
from clusterlm_jax.report import drawing
from clusterlm_jax.report.page import figure
from clusterlm_jax.report.training import clusters_figure, hard_entry

LINES = dict(zip(STARTS, drawing.CATEGORIES, strict=False))
SPLITS = {"training (accuracy: its subset)": drawing.CATEGORIES[3], "validation": drawing.CATEGORIES[4]}
LOSSES = ("training_loss", "validation_sequence_loss")
NATS = "nats per token"


@figure(
    "figure_5a",
    "Clusters at the trigger over task-ID pre-training",
    "One point for each instruction, read at the trigger, before the task identity is given and before any mapping is "
    "seen; layer 0 is the trigger alone, the same for all. The paper: task-specific clusters evolve during the "
    "pre-training.",
    number="5a",
)
def figure_5a(starts: Starts) -> Figure:
    return clusters_figure(starts.clusters, ("task", "distribution"))


@figure(
    "figure_5b",
    "Validation accuracy over fine-tuning",
    "All starts see the same instances in the same order. The paper: after task-ID pre-training the accuracy rises "
    "sooner and ends higher than after the other two. Dotted: the accuracies whose epochs the table gives.",
    number="5b",
)
def figure_5b(starts: Starts) -> Figure:
    starts.require("fine-tuning")
    figure, axes = drawing.grid(1, 1, "validation", panel=(5.5, 2.7))
    draw_accuracies(axes[0, 0], starts)
    axes[0, 0].set(xlabel="epoch of fine-tuning", ylabel="task accuracy")
    drawing.legend(figure, start_handles(starts))
    return figure


@figure(
    "figure_pretraining",
    "Learning curves of pre-training",
    "Losses are those of causal language modelling over whole sequences, the training's with dropout. Fine-tuning "
    "begins with the best epoch by task-ID accuracy in (a, b), by validation loss in (c).",
)
def figure_pretraining(starts: Starts) -> Figure:
    starts.require("pre-training")
    figure, axes = drawing.grid(1, 3, gap=0.65)
    panels = (
        ("(a) task-ID accuracy", TASK_ID, ("training_subset_accuracy", "validation_accuracy"), "share correct"),
        ("(b) loss with task IDs", TASK_ID, LOSSES, NATS),
        ("(c) loss, instructions alone", INSTRUCTION, LOSSES, NATS),
    )
    for panel, (title, start, metrics, unit) in zip(axes[0], panels, strict=True):
        panel.set_title(title, loc="left")
        for metric, color in zip(metrics, SPLITS.values(), strict=True):
            drawing.metric_curves(panel, starts.pretrainings[start], metric, color=color)
        for member in starts.pretrainings[start].each_seed:
            drawing.mark_best(panel, member)
        _finish(panel, unit, "epoch of pre-training", STARTS[start])
    axes[0, 0].set_ylim(-0.03, 1.03)
    of_seed = " of each seed" if starts.members else ""
    handles = [Line2D([], [], color=color, label=words) for words, color in SPLITS.items()]
    handles.append(Line2D([], [], label=f"epoch{of_seed} that fine-tuning begins with", **drawing.BEST))
    drawing.legend(figure, [*handles, *drawing.deviation_handle(starts.clusters)])
    return figure


@figure(
    "figure_fine_tuning",
    "Learning curves of fine-tuning",
    "The training loss is that of whole sequences. They include the instructions, which pre-training has seen already. "
    "The validation loss is that of the output token alone.",
)
def figure_fine_tuning(starts: Starts) -> Figure:
    starts.require("fine-tuning")
    figure, axes = drawing.grid(1, 3, gap=0.65)
    panels = (
        ("training_loss", "(a) training loss", NATS),
        ("validation_loss", "(b) validation loss", "nats per output token"),
        ("training_subset_accuracy", "(c) training subset", "task accuracy"),
    )
    for panel, (metric, title, unit) in zip(axes[0], panels, strict=True):
        panel.set_title(title, loc="left")
        _draw_starts(panel, starts, metric)
        _finish(panel, unit, "epoch of fine-tuning", metric.replace("_", " "))
    drawing.legend(figure, start_handles(starts))
    return figure


figure_hard = hard_entry("Hard examples over task-ID pre-training", lambda starts: starts.clusters)

FIGURES = (figure_5a, figure_5b, figure_pretraining, figure_fine_tuning, figure_hard)


def draw_accuracies(panel: Axes, starts: Starts) -> None:
    """The three curves of figure 5b, and the thresholds of the table."""
    for threshold in EPOCHS_TO:
        panel.axhline(threshold, color=".6", linestyle=":", linewidth=0.8, zorder=1)
    _draw_starts(panel, starts, "validation_accuracy")
    panel.set_ylim(-0.03, 1.03)


def start_handles(starts: Starts) -> list[Line2D]:
    lines = [Line2D([], [], color=LINES[start], label=words) for start, words in STARTS.items()]
    return [*lines, *drawing.deviation_handle(starts.clusters)]


def _draw_starts(panel: Axes, starts: Starts, metric: str) -> None:
    for start, color in LINES.items():
        drawing.metric_curves(panel, starts.fine_tunings[start], metric, color=color)
    drawing.epoch_axis(panel)


def _finish(panel: Axes, unit: str, epochs: str, missing: str) -> None:
    if not panel.lines:
        drawing.say_not_run(panel, f"no {missing}")
        return
    panel.set(xlabel=epochs, ylabel=unit)
    panel.set_ylim(bottom=0 if unit.startswith("nats") else -0.03)
    drawing.epoch_axis(panel)

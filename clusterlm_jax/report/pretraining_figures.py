"""The figures of the three starts: figure 5 of the paper and the learning curves behind it."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from clusterlm_jax.report.figures import figure_2, figure_hard
from clusterlm_jax.report.gallery import NULL_LINES_CAPTION, FigureEntry
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.starts import PRETRAINED, STARTS, THRESHOLDS, Starts
from clusterlm_jax.report.style import BEST, CATEGORIES, draw_curve, grid, legend, say_not_run, seeds_handle

LINES = dict(zip(STARTS, CATEGORIES, strict=False))
NATS = "nats per token"


def figure_5b(starts: Starts) -> Figure:
    """Validation task accuracy over the fine-tuning from each start."""
    _require([starts.fine_tuning(start) for start in STARTS], "no fine-tuning has begun")
    figure, axes = grid(1, 1, "Fine-tuning from three starts, validation", panel=(5.5, 2.7))
    draw_accuracies(axes[0, 0], starts)
    axes[0, 0].set(xlabel="epoch of fine-tuning", ylabel="task accuracy")
    legend(figure, [*start_handles(), *seeds_handle(starts.clusters)])
    return figure


def draw_accuracies(panel: Axes, starts: Starts) -> None:
    """The three curves of figure 5b, and the thresholds of the table."""
    for threshold in THRESHOLDS:
        panel.axhline(threshold, color=".6", linestyle=":", linewidth=0.8, zorder=1)
    _draw_starts(panel, starts, "validation_accuracy")
    panel.set_ylim(-0.03, 1.03)


def start_handles() -> list[Line2D]:
    return [Line2D([], [], color=LINES[start], label=words) for start, words in STARTS.items()]


def figure_pretraining(starts: Starts) -> Figure:
    """What the two pre-trainings learn: task identities, and instructions."""
    _require([starts.pretraining(start) for start in PRETRAINED], "no pre-training has begun")
    figure, axes = grid(1, 3, "Pre-training", gap=0.65)
    panels = (
        ("(a) task-ID accuracy", "task_id", ("training_subset_accuracy", "validation_accuracy"), "share correct"),
        ("(b) loss with task IDs", "task_id", ("training_loss", "validation_sequence_loss"), NATS),
        ("(c) loss, instructions alone", "instruction", ("training_loss", "validation_sequence_loss"), NATS),
    )
    for panel, (title, start, metrics, unit) in zip(axes[0], panels, strict=True):
        panel.set_title(title, loc="left")
        run = starts.pretraining(start)
        for metric, color in zip(metrics, CATEGORIES[3:], strict=False):
            if metric in run.metrics:
                draw_curve(panel, run.metrics[metric], run.deviations.get(metric), color=color)
        for best in (member.facts.get("best", {}).get("epoch") for member in run.each_seed):
            if best is not None:
                panel.axvline(best, zorder=1, **BEST)
        _finish(panel, unit, "epoch of pre-training", STARTS[start])
    axes[0, 0].set_ylim(-0.03, 1.03)
    handles = [
        Line2D([], [], color=color, label=words)
        for words, color in zip(("training (accuracy: its subset)", "validation"), CATEGORIES[3:], strict=False)
    ]
    seeds = " of each seed" if starts.members else ""
    chosen = Line2D([], [], label=f"epoch{seeds} that fine-tuning begins with", **BEST)
    legend(figure, [*handles, chosen, *seeds_handle(starts.clusters)])
    return figure


def figure_fine_tuning(starts: Starts) -> Figure:
    """Losses, and the accuracy on the training subset, over the fine-tuning from each start."""
    _require([starts.fine_tuning(start) for start in STARTS], "no fine-tuning has begun")
    figure, axes = grid(1, 3, "Fine-tuning from three starts", gap=0.65)
    panels = (
        ("training_loss", "(a) training loss", NATS),
        ("validation_loss", "(b) validation loss", "nats per output token"),
        ("training_subset_accuracy", "(c) training subset", "task accuracy"),
    )
    for panel, (metric, title, unit) in zip(axes[0], panels, strict=True):
        panel.set_title(title, loc="left")
        _draw_starts(panel, starts, metric)
        _finish(panel, unit, "epoch of fine-tuning", metric.replace("_", " "))
    legend(figure, [*start_handles(), *seeds_handle(starts.clusters)])
    return figure


def _draw_starts(panel: Axes, starts: Starts, metric: str) -> None:
    for start, color in LINES.items():
        run = starts.fine_tuning(start)
        if metric in run.metrics:
            draw_curve(panel, run.metrics[metric], run.deviations.get(metric), color=color)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _finish(panel: Axes, unit: str, epochs: str, missing: str) -> None:
    if len(panel.lines) == 0:
        say_not_run(panel, f"no {missing}")
        return
    panel.set(xlabel=epochs, ylabel=unit)
    panel.set_ylim(bottom=0 if unit.startswith("nats") else -0.03)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _require(runs: Sequence[Run], otherwise: str) -> None:
    if not any(run.metrics for run in runs):
        raise NotRun(otherwise)


FIGURES = (
    FigureEntry(
        "figure_5a",
        "Clusters at the trigger over task-ID pre-training",
        "One point for each instruction, read at the trigger, before the task identity is given and before any mapping "
        "is seen; layer 0 is the trigger alone, the same for all. The paper: task-specific clusters evolve during the "
        "pre-training." + NULL_LINES_CAPTION,
        lambda starts, spec: figure_2(starts.clusters, ("task", "distribution")),
        "5a",
    ),
    FigureEntry(
        "figure_5b",
        "Validation accuracy over fine-tuning",
        "The same instances in the same order from each start. The paper: after task-ID pre-training the accuracy "
        "rises sooner and ends higher than after the other two. Dotted: the accuracies whose epochs the table gives.",
        lambda starts, spec: figure_5b(starts),
        "5b",
    ),
    FigureEntry(
        "figure_pretraining",
        "Learning curves of pre-training",
        "Validation holds instructions that no training sees. Losses are those of causal language modelling over whole "
        "sequences, the training's with dropout. Fine-tuning begins with the best epoch by task-ID accuracy in (a, b), "
        "by validation loss in (c).",
        lambda starts, spec: figure_pretraining(starts),
    ),
    FigureEntry(
        "figure_fine_tuning",
        "Learning curves of fine-tuning",
        "The training loss is that of whole sequences, instructions included, which pre-training has seen already; the "
        "validation loss is that of the output token alone.",
        lambda starts, spec: figure_fine_tuning(starts),
    ),
    FigureEntry(
        "figure_hard",
        "Hard examples over task-ID pre-training",
        "A hard example differs from its original in one symbol and has an identity of its own. The share of them that "
        "sit in a cluster with more of their own task than of their original's (a), and the reverse (b).",
        lambda starts, spec: figure_hard(starts.clusters),
    ),
)

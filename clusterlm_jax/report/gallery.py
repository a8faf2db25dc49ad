"""Every figure of the report with its words: what the paper's figure shows and what to look at in ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from matplotlib.figure import Figure

from clusterlm_jax.report import figures
from clusterlm_jax.report.instruments import figure_instruments
from clusterlm_jax.report.run import Run
from clusterlm_jax.report.scatter import figure_scatter
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.timing import figure_timing

PAPER_SEEDS = {"2": "11", "3": "13", "4": "12", "6a": "11a", "6b": "11b"}
PAPER_SIMILAR = {"2": "14", "6a": "14a", "6b": "14b"}
PAPER_WIDTHS = {
    32: {"2": "7", "4": "8", "6a": "7a", "6b": "7b"},
    2048: {"2": "9", "4": "10", "6a": "9a", "6b": "9b"},
}
PAPER_MAIN = {number: number for number in ("2", "3", "4", "6a", "6b", "15")}
NULL_LINES_CAPTION = (
    " Thin grey lines are scored without any clusters by task: by the bag of an instruction's symbols with no model, "
    "by the untrained model (its best block), and for labels dealt anew, instance by instance or a whole distribution "
    "at a time (mean of the blocks)."
)
NULLS_CAPTION = NULL_LINES_CAPTION + " The input symbol alone is layer 0."


@dataclasses.dataclass(frozen=True)
class FigureEntry:
    """A figure: the name of its files, its heading, its caption, and how to draw it.

    A figure of the paper's main run has its number. `draw` raises `NotRun` where the run has nothing at all to show.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Run, ReportSpec], Figure]
    number: str = ""


def heading(entry: FigureEntry, run: Run) -> str:
    """The heading of a figure: its number in the paper for a run so configured, or the main run's it is drawn as."""
    if not entry.number:
        return f"{entry.title} (ours)"
    ours = _paper_numbers(run).get(entry.number)
    return f"Figure {ours}: {entry.title}" if ours else f"As figure {entry.number}: {entry.title}"


def _paper_numbers(run: Run) -> dict[str, str]:
    if run.config.get("data", {}).get("shared_mappings") is not None:
        return PAPER_SIMILAR
    if run.members:
        return PAPER_SEEDS
    return PAPER_WIDTHS.get(run.config.get("model", {}).get("hidden_dim"), PAPER_MAIN)


FIGURES = (
    FigureEntry(
        "figure_3",
        "learning curves",
        "The paper: accuracy stays near zero for the first few epochs and then rises abruptly, while the "
        "training loss falls all along; its best epoch is 51. Look at how long the flat start is, and "
        "how steep the rise.",
        lambda run, spec: figures.figure_3(run),
        "3",
    ),
    FigureEntry(
        "figure_2",
        "clusters over training",
        "The paper: task F1 rises over training until it saturates at high values, higher layers above "
        "lower ones, with the word embedding (layer 0) flat at the bottom; clusters by distribution and "
        "by distribution-mapping as well. Look at the first column, and at whether the curves still rise "
        "right of the dashed line." + NULLS_CAPTION,
        lambda run, spec: figures.figure_2(run),
        "2",
    ),
    FigureEntry(
        "figure_spaces",
        "With t-SNE, without, and without the input symbol",
        'The paper reduces "optionally, if it benefits"; every other figure here shows one reducer, the better by '
        "validation task F1 of this run. The last column takes from each state the mean state of its input symbol over "
        "the training set: clusters by task that show there alone lie beneath the input symbol." + NULLS_CAPTION,
        lambda run, spec: figures.figure_spaces(run),
    ),
    FigureEntry(
        "figure_instruments",
        "The task across instruction distributions",
        "The paper: instances from different instruction distributions are clustered together by their task. (a) is "
        "the paper's measure; the others are not told how many tasks there are. (b) to (d): the share of an "
        "instance's ten nearest training instances with its task, when its own distribution is left out. (e): a linear "
        "probe for the task, tested on distributions it never saw. (f) to (h): clusters and distances by task; "
        "(f) knows how many tasks each input symbol has. Look at whether a curve leaves its "
        "grey lines; those of the probe are the control task and the untrained model." + NULL_LINES_CAPTION,
        lambda run, spec: figure_instruments(run),
    ),
    FigureEntry(
        "figure_scatter",
        "Clusters in sight",
        "The hidden states of the validation instances in their three t-SNE dimensions, coloured by "
        "task. The paper's claim, seen: one colour, one cloud. Where one colour falls into several "
        "clouds, the states are grouped by something finer than the task. Of several seeds, the first is shown.",
        figure_scatter,
    ),
    FigureEntry(
        "figure_timing",
        "What rises first",
        "Each curve between its first value and its highest (best block at each analysed epoch), so that the one "
        "further left rose earlier; circles mark the first known epoch at half the way. The paper's hypothesis: the "
        "model first learns to tell tasks apart, so clusters by task come left of the accuracy. Epochs long after "
        "every circle are cut off.",
        lambda run, spec: figure_timing(run),
    ),
    FigureEntry(
        "figure_hard",
        "Hard examples: with their own task or with their original's?",
        "A hard example differs from its original by one symbol of the instruction, yet has another task. Clustering "
        "by similar instructions would leave it with its original (right); the paper says that most are separated. "
        "An example in a cluster that holds equal shares of both tasks is counted in neither panel.",
        lambda run, spec: figures.figure_hard(run),
    ),
    FigureEntry(
        "figure_variance",
        "What the states vary with",
        "The share of the hidden states' variance that lies between the groups of each label. KMeans "
        "follows the largest differences: where the input symbol explains much more than the task, "
        "clusters by task are hard to find.",
        lambda run, spec: figures.figure_variance(run),
    ),
    FigureEntry(
        "figure_6a",
        "all scores, training subset",
        "The paper: the trends of figure 2 hold for F1, ARI and AMI alike. The training subset holds the "
        "hard examples and the instructions they were made from." + NULLS_CAPTION,
        lambda run, spec: figures.figure_6(run, "training_subset"),
        "6a",
    ),
    FigureEntry(
        "figure_6b",
        "all scores, validation",
        "The same for instructions the model has never seen.",
        lambda run, spec: figures.figure_6(run, "validation"),
        "6b",
    ),
    FigureEntry(
        "figure_4",
        "nearest neighbours",
        "The paper: more and more of an unseen instance's ten nearest training instances share its task, and the "
        "majority of their outputs is more and more often right, over training and over the layers." + NULLS_CAPTION,
        lambda run, spec: figures.figure_4(run),
        "4",
    ),
    FigureEntry(
        "figure_15",
        "performance and clusters",
        "The paper: the correlation of task performance with task clusters grows over the layers, above "
        ".6 with accuracy and below -.6 with loss. Look at the top layers against the dotted lines; "
        "layer 0 hardly learns, so its r says little. Of several seeds, r is computed in each.",
        lambda run, spec: figures.figure_15(run),
        "15",
    ),
)

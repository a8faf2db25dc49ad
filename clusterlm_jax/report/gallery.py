"""Every figure of the report with its words: what the paper's figure shows and what to look at in ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from matplotlib.figure import Figure

from clusterlm_jax.report import figures
from clusterlm_jax.report.run import Run
from clusterlm_jax.report.scatter import figure_scatter
from clusterlm_jax.report.spec import ReportSpec


@dataclasses.dataclass(frozen=True)
class FigureEntry:
    """A figure: the name of its files, its heading, its caption, and how to draw it.

    `draw` raises `NotRun` where the run has nothing at all to show.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Run, ReportSpec], Figure]


FIGURES = (
    FigureEntry(
        "figure_3",
        "Figure 3: learning curves",
        "The paper: accuracy stays near zero for the first few epochs and then rises abruptly, while the "
        "training loss falls all along; its best epoch is 51. Look at how long the flat start is, and "
        "how steep the rise.",
        lambda run, spec: figures.figure_3(run),
    ),
    FigureEntry(
        "figure_2",
        "Figure 2: clusters over training",
        "The paper: task F1 rises over training until it saturates at high values, higher layers above "
        "lower ones, with the word embedding (layer 0) flat at the bottom; clusters by distribution and "
        "by distribution-mapping as well. Look at the first column, and at whether the curves still rise "
        "right of the dashed line.",
        lambda run, spec: figures.figure_2(run),
    ),
    FigureEntry(
        "figure_spaces",
        "With t-SNE, without, and without the input symbol (ours)",
        'The paper reduces "optionally, if it benefits"; every other figure here shows one reducer, the better by '
        "validation task F1 of this run. The last column takes from each state the mean state of its input symbol over "
        "the training set: clusters by task that show there alone lie beneath the input symbol.",
        lambda run, spec: figures.figure_spaces(run),
    ),
    FigureEntry(
        "figure_scatter",
        "Clusters in sight (ours)",
        "The hidden states of the validation instances in their three t-SNE dimensions, coloured by "
        "task. The paper's claim, seen: one colour, one cloud. Where one colour falls into several "
        "clouds, the states are grouped by something finer than the task.",
        figure_scatter,
    ),
    FigureEntry(
        "figure_variance",
        "What the states vary with (ours)",
        "The share of the hidden states' variance that lies between the groups of each label. KMeans "
        "follows the largest differences: where the input symbol explains much more than the task, "
        "clusters by task are hard to find.",
        lambda run, spec: figures.figure_variance(run),
    ),
    FigureEntry(
        "figure_6a",
        "Figure 6a: all scores, training subset",
        "The paper: the trends of figure 2 hold for F1, ARI and AMI alike. The training subset holds the "
        "hard examples and the instructions they were made from.",
        lambda run, spec: figures.figure_6(run, "training_subset"),
    ),
    FigureEntry(
        "figure_6b",
        "Figure 6b: all scores, validation",
        "The same for instructions the model has never seen.",
        lambda run, spec: figures.figure_6(run, "validation"),
    ),
    FigureEntry(
        "figure_4",
        "Figure 4: nearest neighbours",
        "The paper: more and more of an unseen instance's ten nearest training instances share its task, and the "
        "majority of their outputs is more and more often right, over training and over the layers.",
        lambda run, spec: figures.figure_4(run),
    ),
    FigureEntry(
        "figure_15",
        "Figure 15: performance and clusters",
        "The paper: the correlation of task performance with task clusters grows over the layers, above "
        ".6 with accuracy and below -.6 with loss. Look at the top layers against the dotted lines; "
        "layer 0 hardly learns, so its r says little.",
        lambda run, spec: figures.figure_15(run),
    ),
)

"""The instruments beside KMeans with k = number of tasks: how they are drawn and judged (ours; see `analysis`).

The paper's claim is that instances *from different distributions* are clustered together by their task (3.2). KMeans
with k = number of tasks mixes that with whatever else the states vary with. These ask it directly.
"""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.figure import Figure

from clusterlm_jax.report.figures import layer_curves
from clusterlm_jax.report.measures import MARGIN, Finding
from clusterlm_jax.report.nulls import NULLS, null_curves
from clusterlm_jax.report.run import NotRun, Run
from clusterlm_jax.report.style import ROOM_FOR_NULLS, grid, layer_legend
from clusterlm_jax.report.words import LABEL_WORDS, SHORT_REDUCERS

SPLIT = "validation"
PANELS = (
    ("f1", "(a) KMeans ({reducer}):\ntask F1"),
    ("across", "(b) neighbours of other\ndistributions: same task"),
    ("across_same_input", "(c) of these, among those\nwith the same input symbol"),
    ("across_other_input", "(d) of these, among those\nwith another input symbol"),
    ("probe_validation", "(e) linear probe, unseen\ndistributions: accuracy"),
    ("within_input_ari", "(f) KMeans inside each\ninput symbol: task ARI"),
    ("tree_f1", "(g) Ward's tree, best cut:\ntask F1"),
    ("silhouette", "(h) silhouette by task"),
)
NULL_WORDS = NULLS | {"shuffled": "by chance", "regrouped": "control task"}  # of neighbours and of the probe
HIERARCHY = ("task", "distribution", "distribution_mapping")  # the paper's levels, coarse to fine


def figure_instruments(run: Run) -> Figure:
    """KMeans by task and what the instruments see, validation, by layer over training."""
    if not any(run.curve(score, "task", SPLIT, layer) for score, _ in PANELS[1:] for layer in run.layers):
        raise NotRun("no instrument has been used")
    figure, axes = grid(2, 4, "The task across instruction distributions, validation", bottom=ROOM_FOR_NULLS)
    figure.subplots_adjust(hspace=0.75)
    for panel, (score, title) in zip(axes.flat, PANELS, strict=True):
        layer_curves(panel, run, score, "task", SPLIT)
        panel.set_title(title.format(reducer=SHORT_REDUCERS[run.reducer]), loc="left")
    for panel in axes[-1]:
        panel.set_xlabel("epoch")
    layer_legend(figure, run)
    return figure


def across_distributions(run: Run) -> Finding:
    """Whether the task is shared across distributions, by neighbours and by the probe, beyond each of their nulls."""
    last, seen, numbers = run.moments["last"], [], []
    for score, words in (
        ("across", "Neighbours of other distributions with the same task"),
        ("probe_validation", "Accuracy of the linear probe on distributions it never saw"),
    ):
        by_layer = [run.mean(score, "task", SPLIT, (layer,), (last,)) for layer in run.indices]
        nulls = {name: curve[last] for name, curve in null_curves(run, score, "task", SPLIT).items() if last in curve}
        if not nulls:
            raise NotRun("the null baselines have not been scored")
        # Tasks share inputs unevenly, so the input symbol alone (layer 0) may score a little above chance.
        seen.append(by_layer[-1] > max(by_layer[0], *nulls.values()) + MARGIN)
        series = ", ".join(f"{value:.2f}" for value in by_layer)
        numbers.append(
            f"{words}, validation, epoch {last}, layers 0 to {run.top}: {series}; "
            f"{', '.join(f'{NULL_WORDS[name]} {value:.2f}' for name, value in nulls.items())}."
        )
    return Finding(all(seen), (*numbers, *_by_input(run, last)))


def _by_input(run: Run, epoch: int) -> tuple[str, ...]:
    """Whether the neighbours share the task only together with the input symbol."""
    words = []
    for score, kind in (("across_same_input", "the same input symbol"), ("across_other_input", "another input symbol")):
        value, chance = (run.curve(score, label, SPLIT, run.top).get(epoch) for label in ("task", "shuffled_task"))
        if value is None or chance is None:
            return ()
        words.append(f"{value:.2f} among those with {kind} (by chance {chance:.2f})")
    return (f"Layer {run.top}: {' and '.join(words)}.",)


def coarse_level(run: Run) -> Finding:
    """Whether the task is the coarse level of Ward's tree, and the distribution and the mapping the finer ones."""
    last = run.moments["last"]
    f1, clusters = (
        {label: run.mean(score, label, SPLIT, (run.top,), (last,)) for label in (*HIERARCHY, "input")}
        for score in ("tree_f1", "tree_clusters")
    )
    nulls = [curve[last] for curve in null_curves(run, "tree_f1", "task", SPLIT).values() if last in curve]
    if not nulls:
        raise NotRun("the null baselines have not been scored")
    ordered = [clusters[label] for label in HIERARCHY]
    nested = all(coarse < fine for coarse, fine in itertools.pairwise(ordered))
    words = ", ".join(f"{LABEL_WORDS[label]} {f1[label]:.2f} at {clusters[label]:.0f} clusters" for label in f1)
    number = (
        f"Best F1 over all cuts, validation, epoch {last}, layer {run.top}: {words}; "
        f"the highest null by task {max(nulls):.2f}."
    )
    coarse = f1["task"] > max(nulls) + MARGIN and f1["task"] > f1["input"] + MARGIN
    return Finding(nested and coarse, (number,))


def in_a_sentence(run: Run) -> str:
    """What a reader may believe about the task across distributions."""
    last, first = run.moments["last"], run.moments["first"]
    across = run.mean("across", "task", SPLIT, (run.top,), (last,))
    chance = run.mean("across", "shuffled_task", SPLIT, (run.top,), (last,))
    untrained = run.mean("across", "task", SPLIT, (run.top,), (first,))
    probe, control = (
        run.mean("probe_validation", label, SPLIT, (run.top,), (last,)) for label in ("task", "regrouped_task")
    )
    return (
        f"Across instruction distributions: {across:.0%} of a validation instance's nearest training instances of "
        f"other distributions share its task in the top block (epoch {first}: {untrained:.0%}; by chance "
        f"{chance:.0%}), and a linear probe tells the task of distributions it never saw with accuracy {probe:.2f} "
        f"(control task {control:.2f})."
    )


def milestones(run: Run) -> tuple[int, ...]:
    """The analysed epochs nearest to the beginning, 5, 10, 25 and 50% of the training, and its end."""
    last = run.epochs[-1]
    wanted = np.array([0, 0.05, 0.1, 0.25, 0.5, 1]) * last
    return tuple(dict.fromkeys(min(run.epochs, key=lambda epoch: abs(epoch - moment)) for moment in wanted))

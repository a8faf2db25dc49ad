"""The paper's claims of sections 3.2, 3.3 and G.4, each beside our numbers and a verdict by a printed rule."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from clusterlm_jax.report import measures
from clusterlm_jax.report.measures import CLEAR, HIGH, MARGIN, NEAR_ZERO, ORDERED, STRONG, Finding
from clusterlm_jax.report.run import NotRun, Run

VERDICTS = SAME, NOT_SEEN, NOT_RUN = "same direction", "not seen", "not run"


@dataclasses.dataclass(frozen=True)
class Claim:
    """What the paper says and where, the rule for our verdict, and the function that applies it.

    `measure` raises `NotRun` where the run lacks what the rule needs.
    """

    paper: str
    where: str
    rule: str
    measure: Callable[[Run], Finding]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A claim with its verdict, one of `SAME`, `NOT_SEEN`, `NOT_RUN`, and the numbers behind it."""

    claim: Claim
    verdict: str
    numbers: tuple[str, ...]


CLAIMS = (
    Claim(
        paper="Clusters by task improve throughout training, on the training subset and on validation.",
        where="3.2, figure 2",
        rule=f"Mean task F1 of the blocks gains over {MARGIN} from the first to the last epoch, on both splits.",
        measure=measures.improves,
    ),
    Claim(
        paper="They saturate at high values.",
        where="3.2, figures 2 and 6; no number given",
        rule=f"At the last epoch the best block's task F1 is above {HIGH}, and {MARGIN} above layer 0, on both splits.",
        measure=functools.partial(measures.clusters_by, label="task", threshold=HIGH),
    ),
    Claim(
        paper="Higher layers cluster by task better than lower ones; the word embedding (layer 0) hardly changes.",
        where="3.2, figure 2",
        rule=(
            f"Late in training, task F1 on validation has a rank correlation above {ORDERED} with the layer and is "
            f"{MARGIN} higher in the top block than in layer 0; the top block gains more than twice what layer 0 moves."
        ),
        measure=measures.higher_layers,
    ),
    Claim(
        paper="There are obvious clusters by instruction distribution inside the task clusters.",
        where="3.2, figure 2",
        rule=(
            f"At the last epoch the best block's distribution F1 is above {CLEAR}, and {MARGIN} above layer 0, "
            "on both splits."
        ),
        measure=functools.partial(measures.clusters_by, label="distribution", threshold=CLEAR),
    ),
    Claim(
        paper="Clusters by distribution and mapping together are strong.",
        where="3.2, figure 2",
        rule=(
            f"At the last epoch the best block's distribution-mapping F1 is above {HIGH}, and {MARGIN} above layer 0, "
            "on both splits."
        ),
        measure=functools.partial(measures.clusters_by, label="distribution_mapping", threshold=HIGH),
    ),
    Claim(
        paper="Those are generally better on validation than on the training subset, which holds the hard examples.",
        where="3.2, figure 2",
        rule="From the best epoch on, the mean distribution-mapping F1 of the blocks is higher on validation.",
        measure=measures.validation_above,
    ),
    Claim(
        paper="Hard examples end in other clusters than the examples they were made from.",
        where="3.2",
        rule=f"The training subset holds hard tasks; its task F1 at the last epoch is above {HIGH} in the best block.",
        measure=measures.hard_examples,
    ),
    Claim(
        paper="The clusters persist and even improve long after the early-stopping point.",
        where="3.2, figure 2",
        rule=(
            f"The mean task F1 of the blocks has gained over {MARGIN} by the best epoch, and its mean over the later "
            f"epochs is at most {MARGIN} below its value there, on both splits."
        ),
        measure=measures.persists,
    ),
    Claim(
        paper=(
            "Accuracy stays near zero for the first few epochs and then rises abruptly, while the training loss falls "
            "all along; the best epoch is 51."
        ),
        where="3.2, figure 3",
        rule=(
            f"Both accuracies are at most {NEAR_ZERO} through epoch 3 and pass 0.5 later; the training loss falls "
            "at every epoch until the rise. How abrupt the rise is, the epochs say."
        ),
        measure=measures.abrupt_rise,
    ),
    Claim(
        paper=(
            "More and more of an unseen instance's nearest training neighbours share its task, and kNN accuracy rises, "
            "over training and over the layers."
        ),
        where="3.3, figure 4",
        rule=(
            f"Both gain over {MARGIN} in the top block from the first to the last epoch; at the last epoch both have a "
            f"rank correlation above {ORDERED} with the layer and are {MARGIN} higher in the top block than in layer 0."
        ),
        measure=measures.neighbours,
    ),
    Claim(
        paper=(
            "Task performance and task clusters correlate, generally more in higher layers: Pearson r reaches over .6 "
            "with accuracy and below -.6 with loss."
        ),
        where="G.4, figure 15",
        rule=(
            f"In the top block r is above {STRONG} (accuracy) and below -{STRONG} (loss) with each of F1, ARI and AMI; "
            f"their mean strength has a rank correlation above {ORDERED} with the layer."
        ),
        measure=measures.correlates,
    ),
)


def judge(run: Run) -> tuple[Judgement, ...]:
    """Every claim of the paper, in its order."""
    return tuple(_judge(claim, run) for claim in CLAIMS)


def _judge(claim: Claim, run: Run) -> Judgement:
    try:
        finding = claim.measure(run)
    except NotRun as reason:
        return Judgement(claim, NOT_RUN, (f"Not run: {reason}.",))
    return Judgement(claim, SAME if finding.seen else NOT_SEEN, finding.numbers)

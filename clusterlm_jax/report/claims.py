"""The paper's claims of sections 3.2, 3.3, B.1 and G, each beside our numbers and a verdict by a printed rule."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from clusterlm_jax.report import evidence, instruments, measures
from clusterlm_jax.report.evidence import MAJORITY
from clusterlm_jax.report.measures import CLEAR, HIGH, MARGIN, NEAR_ZERO, ORDERED, STRONG, Finding
from clusterlm_jax.report.run import NotRun, Run

VERDICTS = SAME, MIXED, NOT_SEEN, NOT_RUN = "same direction", "mixed", "not seen", "not run"


@dataclasses.dataclass(frozen=True)
class Claim:
    """What the paper says and where, the rule for our verdict, and the function that applies it.

    `measure` raises `NotRun` where the run lacks what the rule needs. A claim about `all_seeds` is judged once, by what
    they are together.
    """

    paper: str
    where: str
    rule: str
    measure: Callable[[Run], Finding]
    all_seeds: bool = False


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A claim with its verdict, one of `VERDICTS`, and the numbers behind it.

    Of several seeds, `by_seed` has the verdict of each; the verdict is theirs where they agree, and the numbers are
    those of their mean.
    """

    claim: Claim
    verdict: str
    numbers: tuple[str, ...]
    by_seed: Mapping[int, str] = dataclasses.field(default_factory=dict)


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
        rule=(
            "At the last epoch, in the block with the best task F1 of the training subset, more than "
            f"{MAJORITY:.0%} of the hard examples share a cluster with more of their own task than of their "
            "original's, and fewer with more of their original's."
        ),
        measure=evidence.hard_examples,
    ),
    Claim(
        paper="This eliminates the possibility that instances are grouped by similar instructions alone.",
        where="3.2; argued from the hard examples",
        rule=(
            f"At the last epoch the best block's task F1 is over {MARGIN} above each null baseline, on both splits: "
            "the instructions' symbols without a model, the untrained model's best block, whole distributions dealt "
            "anew to the tasks, and labels dealt anew to the instances."
        ),
        measure=evidence.not_by_surface,
    ),
    Claim(
        paper="Instances with instructions from different distributions are clustered together by their task.",
        where="3.2; argued there from a high task F1",
        rule=(
            "At the last epoch, in the top block, neighbours of other distributions share the task, and a linear probe "
            f"tells it of distributions it never saw, each over {MARGIN} above all its null baselines: chance or the "
            "control task, the untrained model's best block, the input symbol alone (layer 0), and the instructions' "
            "symbols without a model."
        ),
        measure=instruments.across_distributions,
    ),
    Claim(
        paper="The clusters are nested: tasks are the coarse level, distributions and mappings lie inside them.",
        where="3.2, figure 2",
        rule=(
            "In Ward's tree of the top block's states the best cut by task has fewer clusters than that by "
            "distribution, and that one fewer than by distribution-mapping; the best task F1 is "
            f"{MARGIN} above every null and above the best F1 by input symbol."
        ),
        measure=instruments.coarse_level,
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
            "The model first learns to identify tasks (clusters), which then lets it solve them: clusters by task "
            "appear before the accuracy rises."
        ),
        where="3.2, figure 3; a hypothesis there",
        rule=(
            "Task clusters of validation have covered half the way from their first to their highest F1 (best block of "
            "each epoch) strictly before the accuracy has covered half of its own."
        ),
        measure=evidence.clusters_before_accuracy,
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
    Claim(
        paper="Over three seeds results vary more on the training subset, from learning the hard examples.",
        where="G.2, figure 11",
        rule=(
            "The standard deviation over the seeds of task F1 (mean of the blocks and of the epochs from the best one "
            "on) is larger on the training subset. Whether the seeds agree, the other verdicts say."
        ),
        measure=evidence.varies_on_training_subset,
        all_seeds=True,
    ),
    Claim(
        paper=(
            "Instances of similar tasks (one task identity) cluster together, and those of identical tasks (one "
            "distribution) form more specific, lower-level clusters."
        ),
        where="B.1, figure 14",
        rule=(
            "The tasks are similar; at the last epoch the best block's task F1 and distribution F1 are above "
            f"{CLEAR}, and {MARGIN} above layer 0, on both splits."
        ),
        measure=evidence.similar_tasks,
    ),
)


def judge(run: Run, claims: Sequence[Claim] = CLAIMS) -> tuple[Judgement, ...]:
    """Every claim, in the paper's order; of an experiment of several phases, `run` holds them all, seed by seed."""
    return tuple(_judge(claim, run) for claim in claims)


def _judge(claim: Claim, run: Run) -> Judgement:
    verdict, numbers = _apply(claim, run)
    if claim.all_seeds or not run.members:
        return Judgement(claim, verdict, numbers)
    by_seed = {seed: _apply(claim, member)[0] for seed, member in zip(run.seeds, run.members, strict=True)}
    return Judgement(claim, _together(set(by_seed.values())), numbers, by_seed)


def _apply(claim: Claim, run: Run) -> tuple[str, tuple[str, ...]]:
    try:
        finding = claim.measure(run)
    except NotRun as reason:
        return NOT_RUN, (f"Not run: {reason}.",)
    return SAME if finding.seen else NOT_SEEN, finding.numbers


def _together(verdicts: set[str]) -> str:
    """The verdict of seeds that agree, or `MIXED`; where none says the same, one that was not run changes nothing."""
    if len(verdicts) == 1:
        return verdicts.pop()
    return MIXED if SAME in verdicts else NOT_SEEN

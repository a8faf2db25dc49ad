"""The paper's claims about pre-training with task identities (4.1)."""

from __future__ import annotations

from collections.abc import Sequence

from clusterlm_jax.experiments.pretraining.starts import (
    EPOCHS_TO,
    INSTRUCTION,
    NONE,
    STARTS,
    TASK_ID,
    Measure,
    Starts,
    best_accuracy,
)
from clusterlm_jax.report.claims import MARGIN, Finding, claim
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.tables import NEVER, over_seeds, shown
from clusterlm_jax.report.training import gains

HIGHER = 0.01  # of the accuracy: three of the paper's 315 validation instances


@claim(
    paper="The task-specific clusters indeed evolve during the pre-training process.",
    where="4.1, figure 5a",
    rule=(
        f"Mean task F1 of the blocks, at the trigger, gains over {MARGIN} from the first to the last epoch of "
        "task-ID pre-training, on both splits."
    ),
)
def clusters_evolve(starts: Starts) -> Finding:
    return gains(starts.clusters)


@claim(
    paper="Fine-tuning converges faster after task-ID pre-training than after the other two starts.",
    where="4.1, figure 5b",
    rule=(
        f"Of the validation accuracies {' and '.join(map(str, EPOCHS_TO))}, task-ID pre-training reaches each that "
        "any start reaches in a strictly earlier epoch than both others."
    ),
)
def faster(starts: Starts) -> Finding:
    return _faster_than(starts, INSTRUCTION, NONE)


@claim(
    paper="It also achieves higher task accuracy on validation than the other two.",
    where="4.1, figure 5b",
    rule=f"The best validation accuracy of fine-tuning is more than {HIGHER} above that of both others.",
)
def higher(starts: Starts) -> Finding:
    return _higher_than(starts, INSTRUCTION, NONE)


@claim(
    paper="Comparing to instruction pre-training indicates that the information about task ID is what helps.",
    where="4.1",
    rule="Both of the rules above hold against instruction pre-training alone.",
)
def identities_help(starts: Starts) -> Finding:
    findings = [rule(starts, INSTRUCTION) for rule in (_faster_than, _higher_than)]
    return Finding(all(finding.seen for finding in findings), tuple(n for f in findings for n in f.numbers))


CLAIMS = (clusters_evolve, faster, higher, identities_help)


def _faster_than(starts: Starts, *others: str) -> Finding:
    for nothing_learned in filter(None, map(starts.untrained, (TASK_ID, *others))):
        raise NotRun(nothing_learned)
    epochs = [{start: measure(starts, start) for start in (TASK_ID, *others)} for measure in EPOCHS_TO.values()]
    reached = [by_start for by_start in epochs if min(by_start.values()) < NEVER]
    if not reached and not starts.members:  # the mean's curve may miss what every seed reaches
        raise NotRun(f"no start reaches a validation accuracy of {min(EPOCHS_TO)}")
    seen = all(by_start[TASK_ID] < min(by_start[other] for other in others) for by_start in reached)
    measures = EPOCHS_TO.items()
    sentences = (f"Epochs to a validation accuracy of {t}: {_of_each(starts, m, others)}." for t, m in measures)
    return Finding(seen, tuple(sentences))


def _higher_than(starts: Starts, *others: str) -> Finding:
    for nothing_learned in filter(None, map(starts.untrained, (TASK_ID, *others))):
        raise NotRun(nothing_learned)
    seen = best_accuracy(starts, TASK_ID) > max(best_accuracy(starts, other) for other in others) + HIGHER
    return Finding(seen, (f"Best validation accuracy: {_of_each(starts, best_accuracy, others)}.",))


def _of_each(starts: Starts, measure: Measure, others: Sequence[str]) -> str:
    """A measure of task-ID pre-training and of the others: each seed's value, and what they come to."""
    words = []
    for start in (TASK_ID, *others):
        values = starts.values(measure, start)
        each = ", ".join(map(shown, values))
        together = f"{each} ({shown(over_seeds(values))})" if len(set(values)) > 1 else shown(values[0])
        words.append(f"{STARTS[start]} {together}")
    return "; ".join(words)

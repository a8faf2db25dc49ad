"""The paper's claims about pre-training with task identities (4.1), each judged seed by seed by a printed rule."""

from __future__ import annotations

from collections.abc import Sequence

from clusterlm_jax.report import measures
from clusterlm_jax.report.claims import Claim
from clusterlm_jax.report.measures import MARGIN, Finding
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.starts import STARTS, THRESHOLDS, Starts, best_accuracy, epochs_to, of_each_seed, together
from clusterlm_jax.report.tables import shown
from clusterlm_jax.report.timing import NEVER

HIGHER = 0.01  # of the accuracy: three of the paper's 315 validation instances
OTHERS = ("instruction", "none")


def clusters_evolve(starts: Starts) -> Finding:
    return measures.improves(starts.clusters)


def faster(starts: Starts, others: Sequence[str] = OTHERS) -> Finding:
    """Whether task-ID pre-training is first at every threshold that any start comes to."""
    compared = ("task_id", *others)
    epochs = {t: {start: epochs_to(starts, start, t) for start in compared} for t in THRESHOLDS}
    reached = [by_start for by_start in epochs.values() if min(by_start.values()) < NEVER]
    if not reached and not starts.members:
        raise NotRun(f"no start comes to a validation accuracy of {THRESHOLDS[0]}")
    seen = all(by_start["task_id"] < min(by_start[other] for other in others) for by_start in reached)
    return Finding(seen, tuple(_epochs_words(starts, compared, threshold) for threshold in THRESHOLDS))


def higher(starts: Starts, others: Sequence[str] = OTHERS) -> Finding:
    """Whether the best accuracy after task-ID pre-training is the highest."""
    best = {start: best_accuracy(starts, start) for start in ("task_id", *others)}
    words = "; ".join(
        f"{STARTS[start]} {_series(of_each_seed(starts, lambda s, start=start: best_accuracy(s, start)))}"
        for start in best
    )
    return Finding(
        best["task_id"] > max(best[other] for other in others) + HIGHER, (f"Best validation accuracy: {words}.",)
    )


def identities_help(starts: Starts) -> Finding:
    findings = [rule(starts, others=("instruction",)) for rule in (faster, higher)]
    return Finding(all(finding.seen for finding in findings), tuple(n for f in findings for n in f.numbers))


def _epochs_words(starts: Starts, compared: Sequence[str], threshold: float) -> str:
    words = "; ".join(
        f"{STARTS[start]} {_series(of_each_seed(starts, lambda s, start=start: epochs_to(s, start, threshold)))}"
        for start in compared
    )
    return f"Epochs to a validation accuracy of {threshold}: {words}."


def _series(values: Sequence[float | None]) -> str:
    """The value of every seed, and what they come to."""
    each = ", ".join(map(shown, values))
    return f"{each} ({shown(together(values))})" if len(set(values)) > 1 else shown(values[0])


CLAIMS = (
    Claim(
        paper="The task-specific clusters indeed evolve during the pre-training process.",
        where="4.1, figure 5a",
        rule=(
            f"Mean task F1 of the blocks, at the trigger, gains over {MARGIN} from the first to the last epoch of "
            "task-ID pre-training, on both splits."
        ),
        measure=clusters_evolve,
    ),
    Claim(
        paper="Fine-tuning converges faster after task-ID pre-training than after the other two starts.",
        where="4.1, figure 5b",
        rule=(
            f"Of the validation accuracies {' and '.join(map(str, THRESHOLDS))}, at each that any start comes to, "
            "task-ID pre-training is there in a strictly earlier epoch than both others."
        ),
        measure=faster,
    ),
    Claim(
        paper="It also achieves higher task accuracy on validation than the other two.",
        where="4.1, figure 5b",
        rule=f"The best validation accuracy of fine-tuning is more than {HIGHER} above that of both others.",
        measure=higher,
    ),
    Claim(
        paper="Comparing to instruction pre-training indicates that the information about task ID is what helps.",
        where="4.1",
        rule="Both of the rules above hold against instruction pre-training alone.",
        measure=identities_help,
    ),
)

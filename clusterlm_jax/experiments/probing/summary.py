"""What the page of probed models says first: what was read, what came out, and whether to believe it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clusterlm_jax.experiments.probing.claims import finest_f1, task_f1, task_nulls
from clusterlm_jax.experiments.probing.nulls import NULLS
from clusterlm_jax.experiments.probing.probe import Probe
from clusterlm_jax.report.claims import MARGIN, Judgement, explanation, near, verdict_words
from clusterlm_jax.report.paper import NINE
from clusterlm_jax.report.run import measured
from clusterlm_jax.report.words import counted


def summary(probes: Sequence[Probe], judgements: Sequence[Judgement]) -> list[str]:
    """At most five sentences, of one model or of several; those whose numbers are not there are left out."""
    found = [probe for probe in probes if probe.clusterings]
    if not found:
        return []
    sentences = _of_one(found[0]) if len(probes) == 1 else _of_several(found)
    return [*filter(None, sentences), f"Verdicts on the paper's claims: {verdict_words(judgements)}."]


def _of_one(probe: Probe) -> tuple[str | None, ...]:
    prompts = counted(probe.dataset["test"], "prompt") if "test" in probe.dataset else "the prompts"
    random = " Its weights are random, so it is a null baseline." * probe.random_weights
    return (
        f"{probe.name} read {prompts}, and the states of their last tokens were clustered layer by layer.{random}",
        _best(probe),
        measured(_nulls, probe),
        measured(_finest, probe),
    )


def _best(probe: Probe) -> str:
    paper, task = probe.paper, NINE.index(("task", "f1"))
    theirs = f"; the paper's {paper.name} has {paper.scores[task]:.3f}" if paper else ""
    unfinished = "" if probe.complete else "; others are not scored yet"
    return (
        f"The best task F1 is {task_f1(probe):.2f} ({probe.chosen.words}){theirs}. It is the best of "
        f"{probe.clusterings} clusterings, so it is optimistic{unfinished}."
    )


def _nulls(probe: Probe) -> str:
    nulls = {NULLS[name]: value for name, value in task_nulls(probe).items()}
    return explanation("the task clusters", task_f1(probe), nulls)


def _finest(probe: Probe) -> str:
    f1, alone = finest_f1(probe)
    words = "the input alone could explain them" if _input_alone(probe) else "they take more than the input"
    return (
        f"Clusters by distribution-mapping (task and word pair) have an F1 of {f1:.2f} there. The last token alone "
        f"(layer 0) gives {alone:.2f}, so {words}."
    )


def _of_several(found: Sequence[Probe]) -> tuple[str | None, ...]:
    """Models with random weights are null baselines, and not counted."""
    trained = sorted((probe for probe in found if not probe.random_weights), key=task_f1)
    f1 = " to ".join(f"{task_f1(probe):.2f} ({probe.name})" for probe in dict.fromkeys(trained[:1] + trained[-1:]))
    return (
        f"{counted(len(trained), 'trained model')} and {len(found) - len(trained)} with random weights read the "
        "prompts, and the states of their last tokens were clustered layer by layer.",
        f1 and f"The best task F1 of a model is {f1}. It is the best of all its clusterings, so it is optimistic.",
        _share(_near, trained, "A null baseline at its best could explain the task clusters"),
        _share(_input_alone, trained, "The last token alone (layer 0) could explain the distribution-mapping clusters"),
    )


def _share(measure: Callable[[Probe], object], probes: Sequence[Probe], words: str) -> str | None:
    known = [holds for probe in probes if (holds := measured(measure, probe)) is not None]
    return f"{words} of {sum(map(bool, known))} of {counted(len(known), 'model')}." if known else None


def _near(probe: Probe) -> dict[str, float]:
    """The nulls that could explain the task clusters."""
    return near(task_f1(probe), task_nulls(probe))


def _input_alone(probe: Probe) -> bool:
    """Whether layer 0 comes within `MARGIN` of the distribution-mapping F1 at the chosen layer."""
    f1, alone = finest_f1(probe)
    return alone > f1 - MARGIN

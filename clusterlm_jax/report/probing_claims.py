"""The paper's claims about open language models (3.4), each beside our numbers and a verdict by a printed rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from clusterlm_jax.report.claims import MIXED, NOT_RUN, NOT_SEEN, SAME
from clusterlm_jax.report.measures import CLEAR, HIGH, MARGIN, Finding
from clusterlm_jax.report.probe import Probe
from clusterlm_jax.report.probing_nulls import NULLS, best_null_values
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.words import SHORT_REDUCERS, layer_words

INSTRUCT = "instruct"


@dataclasses.dataclass(frozen=True)
class Claim:
    """What the paper says and where, the rule for our verdict, and the function that applies it to one of the probes.

    `measure` raises `NotRun` where the probe is not one the claim is about, or lacks what the rule needs.
    """

    paper: str
    where: str
    rule: str
    measure: Callable[[Probe, Sequence[Probe]], Finding]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A claim with its verdict: that of the models it was judged by, if they agree.

    `by_model` has each model's own verdict and numbers.
    """

    claim: Claim
    verdict: str
    by_model: Mapping[str, tuple[str, tuple[str, ...]]]


def high_by_task(probe: Probe, probes: Sequence[Probe]) -> Finding:
    f1 = task_f1(probe)
    return Finding(f1 > HIGH, (f"Task F1 {f1:.2f} ({place_words(probe)}).",))


def not_by_surface(probe: Probe, probes: Sequence[Probe]) -> Finding:
    f1, nulls = task_f1(probe), task_nulls(probe, probes)
    return Finding(f1 > max(nulls.values()) + MARGIN, (f"Task F1 {f1:.2f}; {nulls_words(nulls)}.",))


def by_distribution_mapping(probe: Probe, probes: Sequence[Probe]) -> Finding:
    f1, alone = finest_f1(probe)
    family = probe.model.get("architecture")
    if family not in ("llama", "gptj"):
        raise NotRun("the model is neither a LLaMA nor a GPT-J")
    seen = f1 > HIGH if family == "llama" else f1 < CLEAR
    words = f"Distribution-mapping F1 {f1:.2f} ({place_words(probe)}); last token alone (layer 0) {alone:.2f}."
    return Finding(seen, (words,))


def tuned_or_not(probe: Probe, probes: Sequence[Probe]) -> Finding:
    others = [other for other in probes if other.complete and not other.random_weights]
    if len({_tuned(other) for other in others}) < 2:
        raise NotRun("it takes a model fine-tuned on instructions and one that is not")
    f1 = task_f1(probe)
    words = "fine-tuned on instructions" if _tuned(probe) else "not fine-tuned on instructions"
    return Finding(f1 > HIGH, (f"Task F1 {f1:.2f}, {words}.",))


def task_f1(probe: Probe) -> float:
    """The best task F1 of all layers, which the layer was chosen by."""
    reducer, layer = probe.chosen
    return probe.values[layer, "task", reducer, "f1"]


def finest_f1(probe: Probe) -> tuple[float, float]:
    """Distribution-mapping F1 at the chosen layer and at layer 0: a pair's input mostly names it already."""
    reducer, layer = probe.chosen
    f1, alone = (probe.values.get((place, "distribution_mapping", reducer, "f1")) for place in (layer, "0"))
    if f1 is None or alone is None:
        raise NotRun("distribution-mapping has not been scored")
    return f1, alone


def task_nulls(probe: Probe, probes: Sequence[Probe]) -> dict[str, float]:
    """The highest task F1 of each null over all layers and reducers; random weights only where they were read."""
    nulls = best_null_values(probe, probes, "task", "f1")
    if any(value is None for name, value in nulls.items() if name != "untrained"):
        raise NotRun("the null baselines have not been scored")
    return {name: value for name, value in nulls.items() if value is not None}


def nulls_words(nulls: Mapping[str, float]) -> str:
    return ", ".join(f"{NULLS[name]} {value:.2f}" for name, value in nulls.items())


def place_words(probe: Probe) -> str:
    reducer, layer = probe.chosen
    return f"{layer_words(layer)}, {SHORT_REDUCERS[reducer]}"


def _tuned(probe: Probe) -> bool:
    return INSTRUCT in probe.model.get("name", "").lower()


CLAIMS = (
    Claim(
        paper="All of the LLMs achieve high clustering performance by task identity (the category).",
        where="3.4, table 1",
        rule=f"The best task F1 of all layers and both reducers is above {HIGH}; the paper's are .887 to .959.",
        measure=high_by_task,
    ),
    Claim(
        paper="A high F1 score indicates that different tasks under the same category are clustered together.",
        where="3.4; the paper holds it against no baseline",
        rule=(
            f"That F1 is over {MARGIN} above the highest of each null over all layers and reducers: bags of words "
            "without a model, the embedding of the last token (layer 0), whole tasks dealt anew to the categories, "
            "labels dealt anew to the prompts, and random weights where they are on this page."
        ),
        measure=not_by_surface,
    ),
    Claim(
        paper=(
            "The LLaMA models receive high scores by distribution-mapping; GPT-J-6B and Instruct-GPT-J-6B seem to form "
            "no clear clusters by it."
        ),
        where="3.4, table 1",
        rule=(
            f"At the chosen layer the distribution-mapping F1 of a LLaMA is above {HIGH} (the paper: .932 to .940), "
            f"that of a GPT-J below {CLEAR} (the paper: .465 and .170). Layer 0 stands beside it and decides nothing: "
            "the input alone mostly names the pair."
        ),
        measure=by_distribution_mapping,
    ),
    Claim(
        paper="The clustering phenomenon appears on LLMs whether instruction-tuned or not.",
        where="3.4, table 1",
        rule=(
            f"Models of both kinds are on this page, and each has a task F1 above {HIGH}; a model is taken to be "
            f"instruction-tuned if its name has {INSTRUCT!r} in it."
        ),
        measure=tuned_or_not,
    ),
)


def judge(probes: Sequence[Probe]) -> tuple[Judgement, ...]:
    """Every claim, in the paper's order."""
    return tuple(_judge(claim, probes) for claim in CLAIMS)


def _judge(claim: Claim, probes: Sequence[Probe]) -> Judgement:
    by_model = {probe.name: _apply(claim, probe, probes) for probe in probes}
    verdicts = {verdict for verdict, _ in by_model.values()} - {NOT_RUN}
    together = MIXED if len(verdicts) > 1 else next(iter(verdicts), NOT_RUN)
    return Judgement(claim, together, by_model)


def _apply(claim: Claim, probe: Probe, probes: Sequence[Probe]) -> tuple[str, tuple[str, ...]]:
    try:
        if probe.random_weights:
            raise NotRun("its weights are random, so it is a null baseline")
        if not probe.complete:
            raise NotRun(f"{'not every' if any(probe.scored.values()) else 'no'} layer has been scored by task")
        finding = claim.measure(probe, probes)
    except NotRun as reason:
        return NOT_RUN, (f"Not run: {reason}.",)
    return SAME if finding.seen else NOT_SEEN, finding.numbers

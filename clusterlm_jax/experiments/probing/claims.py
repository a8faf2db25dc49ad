"""The paper's claims about open language models (3.4), each with its rule; every model is judged on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clusterlm_jax.experiments.probing.nulls import NULLS, highest_nulls
from clusterlm_jax.experiments.probing.probe import Probe
from clusterlm_jax.report.claims import CLEAR, HIGH, MARGIN, MIXED, NOT_RUN, Claim, Finding, Judgement, apply, claim
from clusterlm_jax.report.layers.scores import Place
from clusterlm_jax.report.run import NotRun

INSTRUCT = "instruct"


@claim(
    paper="All of the LLMs achieve high clustering performance by task identity (the category).",
    where="3.4, table 1",
    rule=f"The best task F1 of all layers and both reducers is above {HIGH}; the paper's are .887 to .959.",
)
def high_by_task(probe: Probe) -> Finding:
    f1 = task_f1(probe)
    return Finding(f1 > HIGH, (f"Task F1 {f1:.2f} ({probe.chosen.words}).",))


@claim(
    paper="A high F1 score indicates that different tasks under the same category are clustered together.",
    where="3.4; the paper compares it with no baseline",
    rule=(
        f"That F1 is over {MARGIN} above the highest of each null over all layers and reducers: bags of words without "
        "a model, the embedding of the last token (layer 0), whole tasks shuffled over the categories, labels shuffled "
        "over the prompts, and random weights where they are on this page."
    ),
)
def not_by_surface(probe: Probe) -> Finding:
    f1, nulls = task_f1(probe), task_nulls(probe)
    return Finding(f1 > max(nulls.values()) + MARGIN, (f"Task F1 {f1:.2f}; {nulls_words(nulls)}.",))


@claim(
    paper=(
        "The LLaMA models receive high scores by distribution-mapping; GPT-J-6B and Instruct-GPT-J-6B seem to form no "
        "clear clusters by it."
    ),
    where="3.4, table 1",
    rule=(
        f"At the chosen layer the distribution-mapping F1 of a LLaMA is above {HIGH} (the paper: .932 to .940), that "
        f"of a GPT-J below {CLEAR} (the paper: .465 and .170). Layer 0 is given too and decides nothing: the input "
        "alone mostly names the pair."
    ),
)
def by_distribution_mapping(probe: Probe) -> Finding:
    f1, alone = finest_f1(probe)
    family = probe.model.get("architecture")
    if family not in ("llama", "gptj"):
        raise NotRun("the model is neither a LLaMA nor a GPT-J")
    seen = f1 > HIGH if family == "llama" else f1 < CLEAR
    words = f"Distribution-mapping F1 {f1:.2f} ({probe.chosen.words}); last token alone (layer 0) {alone:.2f}."
    return Finding(seen, (words,))


@claim(
    paper="The clustering phenomenon appears on LLMs whether instruction-tuned or not.",
    where="3.4, table 1",
    rule=(
        f"Models of both kinds are on this page, and each has a task F1 above {HIGH}; a model is taken to be "
        f"instruction-tuned if its name has {INSTRUCT!r} in it."
    ),
)
def tuned_or_not(probe: Probe) -> Finding:
    others = [other for other in probe.others if other.complete and not other.random_weights]
    if len({_tuned(other) for other in others}) < 2:
        raise NotRun("it takes a model fine-tuned on instructions and one that is not")
    f1 = task_f1(probe)
    words = "fine-tuned on instructions" if _tuned(probe) else "not fine-tuned on instructions"
    return Finding(f1 > HIGH, (f"Task F1 {f1:.2f}, {words}.",))


CLAIMS = (high_by_task, not_by_surface, by_distribution_mapping, tuned_or_not)


def judge(probes: Sequence[Probe]) -> tuple[Judgement, ...]:
    """Every claim, in the paper's order; of several models the verdict of those judged, `MIXED` if they differ."""
    return tuple(_judge(claim, probes) for claim in CLAIMS)


def _judge(claim: Claim, probes: Sequence[Probe]) -> Judgement:
    by_model = {probe.name: _apply(claim, probe) for probe in probes}
    if len(by_model) == 1:
        return Judgement(claim, *by_model[probes[0].name])
    verdicts = {verdict for verdict, _ in by_model.values()} - {NOT_RUN}
    together = MIXED if len(verdicts) > 1 else next(iter(verdicts), NOT_RUN)
    return Judgement(claim, together, (), by_model)


def _apply(claim: Claim, probe: Probe) -> tuple[str, tuple[str, ...]]:
    """The verdict on one model. A null baseline gets none, nor a model whose best layer may still be another."""
    if probe.random_weights:
        return NOT_RUN, ("Not run: its weights are random, so it is a null baseline.",)
    if not probe.complete:
        return NOT_RUN, (f"Not run: {'not every' if probe.clusterings else 'no'} layer has been scored by task.",)
    return apply(claim, probe)


def task_f1(probe: Probe) -> float:
    """The best task F1 of all layers and reducers."""
    return probe.value(probe.chosen)


def finest_f1(probe: Probe) -> tuple[float, float]:
    """Distribution-mapping F1 at the chosen layer, and at layer 0: a pair's input mostly names the pair already."""
    places = (probe.chosen, Place("0", probe.chosen.reducer))
    f1, alone = (probe.value(place, label="distribution_mapping") for place in places)
    if f1 is None or alone is None:
        raise NotRun("distribution-mapping has not been scored")
    return f1, alone


def task_nulls(probe: Probe) -> dict[str, float]:
    """The highest task F1 of each null over all layers and reducers; random weights only where they were read."""
    nulls = highest_nulls(probe)
    if any(value is None for name, value in nulls.items() if name != "untrained"):
        raise NotRun("the null baselines have not been scored")
    return {name: value for name, value in nulls.items() if value is not None}


def nulls_words(nulls: Mapping[str, float]) -> str:
    return ", ".join(f"{NULLS[name]} {value:.2f}" for name, value in nulls.items())


def _tuned(probe: Probe) -> bool:
    return INSTRUCT in probe.model.get("name", "").lower()

"""What a probed model shows, in plain words with its numbers: the first thing a reader of the page reads."""

from __future__ import annotations

from collections.abc import Sequence

from clusterlm_jax.records import FINAL_NORM
from clusterlm_jax.report.measures import CLEAR, HIGH, MARGIN
from clusterlm_jax.report.probe import Probe
from clusterlm_jax.report.probing_claims import finest_f1, nulls_words, place_words, task_f1, task_nulls
from clusterlm_jax.report.probing_paper import NINE
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.words import SHORT_REDUCERS


def in_plain_words(probe: Probe, probes: Sequence[Probe]) -> list[str]:
    """A few sentences on one of the probes; those whose numbers are not there are left out."""
    sentences = []
    for sentence in (_random, _unfinished, _task_clusters, _surface, _finer, _depth):
        try:
            sentences.append(sentence(probe, probes))
        except NotRun:
            continue
    return sentences


def _random(probe: Probe, probes: Sequence[Probe]) -> str:
    if not probe.random_weights:
        raise NotRun("the weights are trained")
    return "The weights of this model are random: what it shows comes from the prompts and the architecture alone."


def _unfinished(probe: Probe, probes: Sequence[Probe]) -> str:
    if probe.complete or not any(probe.scored.values()):
        raise NotRun("every layer has been scored, or none")
    done = " and ".join(f"{probe.scored[reducer]} with {words}" for reducer, words in SHORT_REDUCERS.items())
    return f"Of {len(probe.layers)} layers only {done} have been scored, so the best may yet be another."


def _task_clusters(probe: Probe, probes: Sequence[Probe]) -> str:
    f1, count = task_f1(probe), sum(probe.scored.values())
    seen = f"{'above' if f1 > HIGH else 'not above'} {HIGH}, which we call high"
    return (
        f"Clustered into as many clusters as there are categories, the hidden states give a task F1 of at most "
        f"{f1:.2f} ({place_words(probe)}), which is {seen}{_beside_paper(probe, 'task')}. It is the best of {count} "
        "clusterings, so it is optimistic."
    )


def _surface(probe: Probe, probes: Sequence[Probe]) -> str:
    nulls = task_nulls(probe, probes)
    if task_f1(probe) > max(nulls.values()) + MARGIN:
        words = f"scores less, by over {MARGIN}: that does not explain the clusters"
    else:
        words = f"does not score less by over {MARGIN}: that could explain the clusters"
    return f"What holds no clusters by category, at its own best ({nulls_words(nulls)}), {words}."


def _finer(probe: Probe, probes: Sequence[Probe]) -> str:
    f1, alone = finest_f1(probe)
    context = "so the input alone explains them" if alone > f1 - MARGIN else "so it takes more than the input"
    seen = "strong" if f1 > HIGH else "not clear" if f1 < CLEAR else "clear, but not strong"
    return (
        f"Clusters by task and word pair together (distribution-mapping) are {seen} there: an F1 of {f1:.2f}, where "
        f"above {HIGH} is strong and below {CLEAR} not clear{_beside_paper(probe, 'distribution_mapping')}. The "
        f"embedding of the last token alone (layer 0) gives {alone:.2f}, {context}."
    )


def _depth(probe: Probe, probes: Sequence[Probe]) -> str:
    """How deep the chosen layer lies, and whether the choice matters."""
    reducer, layer = probe.chosen
    blocks = len(probe.layers) - 2
    curve = probe.curve("task", reducer, "f1")
    near = sum(value > curve[layer] - MARGIN for value in curve.values()) - 1
    if layer == FINAL_NORM:
        where = f"the final norm, after all {blocks} blocks"
    else:
        third = ("lower", "middle", "upper")[3 * int(layer) // (blocks + 1)]
        where = f"layer {layer} of {blocks}, in the {third} third of the depth"
    others = f"{near} of the other {len(curve) - 1} come within {MARGIN} of it ({SHORT_REDUCERS[reducer]})"
    return f"The best layer is {where}; {others}."


def _beside_paper(probe: Probe, label: str) -> str:
    if not probe.paper:
        return ""
    return f"; the paper's {probe.paper.name} has {probe.paper.scores[NINE.index((label, 'f1'))]:.3f}"

"""What a probed model's clusters are held against: the null baselines of a probing run (ours)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from clusterlm_jax.report.probe import Probe
from clusterlm_jax.report.words import REDUCERS

NULLS = {
    "words": "bag of words",
    "embedding": "last token alone (layer 0)",
    "untrained": "random weights",
    "regrouped": "whole tasks dealt anew",
    "shuffled": "labels dealt anew",
}
ALIKE = ("architecture", "hidden_dim", "layers", "heads")


def untrained(probe: Probe, probes: Sequence[Probe]) -> Probe | None:
    """The probe among these of a model as large, on the same prompts, whose weights are random."""
    if probe.random_weights or not probe.model:
        return None
    return next((other for other in probes if other.random_weights and _kind(other) == _kind(probe)), None)


def _kind(probe: Probe) -> tuple:
    return (*(probe.model.get(name) for name in ALIKE), probe.dataset.get("sha256"))


def null_values(
    probe: Probe, probes: Sequence[Probe], label: str, score: str, reducer: str, layer: str
) -> dict[str, float | None]:
    """What each null scores beside a layer; None where it was not run. Only tasks (categories) are regrouped."""
    twin = untrained(probe, probes)
    return {
        "words": probe.words.get(("0", label, reducer, score)),
        "embedding": probe.values.get(("0", label, reducer, score)),
        "untrained": twin.values.get((layer, label, reducer, score)) if twin else None,
        "regrouped": probe.values.get((layer, f"regrouped_{label}", reducer, score)),
        "shuffled": probe.values.get((layer, f"shuffled_{label}", reducer, score)),
    }


def best_null_values(probe: Probe, probes: Sequence[Probe], label: str, score: str) -> dict[str, float | None]:
    """The most each null scores over all layers and reducers: the choice our own number had."""
    places = list(itertools.product(REDUCERS, probe.layers))
    found = [null_values(probe, probes, label, score, reducer, layer) for reducer, layer in places]
    return {name: max((values[name] for values in found if values[name] is not None), default=None) for name in NULLS}

"""The null baselines of a probing run: what scores without the clusters of the model's layers (ours)."""

from __future__ import annotations

from clusterlm_jax.experiments.probing.probe import NULLS, Probe
from clusterlm_jax.report.layers.scores import Key, Place
from clusterlm_jax.report.words import REDUCERS


def null_values(probe: Probe, place: Place, *, label: str = "task", score: str = "f1") -> dict[str, float | None]:
    """What each null scores, to compare with a place; None where it was not run."""
    of = {"label": label, "score": score}
    return {
        "words": probe.words.get(Key("0", label, place.reducer, score)),
        "embedding": probe.value(Place("0", place.reducer), **of),
        "untrained": probe.twin.value(place, **of) if probe.twin else None,
        "regrouped": probe.value(place, label=f"regrouped_{label}", score=score),
        "shuffled": probe.value(place, label=f"shuffled_{label}", score=score),
    }


def highest_nulls(probe: Probe, *, label: str = "task", score: str = "f1") -> dict[str, float | None]:
    """The highest score of each null over all layers and reducers: our own number is such a maximum too."""
    places = [Place(layer, reducer) for layer in probe.layers for reducer in REDUCERS]
    found = [null_values(probe, place, label=label, score=score) for place in places]
    return {name: max((values[name] for values in found if values[name] is not None), default=None) for name in NULLS}

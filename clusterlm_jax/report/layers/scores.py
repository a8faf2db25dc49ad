"""The scores of every layer of a model, as a page sees them."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.words import LABEL_WORDS, LABELS, NULLS, REDUCERS, SHORT_REDUCERS, layer_words

S = TypeVar("S", bound="LayerScores")


class Key(NamedTuple):
    """What a score is of: the columns of `scores.csv`, in its order."""

    layer: str
    label: str
    reducer: str
    score: str


class Place(NamedTuple):
    """Where a clustering is made: in which layer, with which reducer."""

    layer: str
    reducer: str

    @property
    def words(self) -> str:
        return f"{layer_words(self.layer)}, {SHORT_REDUCERS[self.reducer]}"


@dataclasses.dataclass(frozen=True, eq=False)
class LayerScores:
    """A model whose layers were scored, as far as its work directory has come; what is not there is left empty.

    Attributes:
      name: of the model; of the work directory before the model is known.
      values: every score.
      words: scores of the same instances as bags of words, without a model; their layer is `0`.
      facts, config, environment: `run.json`, `config.json`, `env.json`.
      seconds: wall time by stage.
      embeddings: files of t-SNE coordinates by layer.
    """

    name: str
    values: Mapping[Key, float] = dataclasses.field(default_factory=dict)
    words: Mapping[Key, float] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    embeddings: Mapping[str, Path] = dataclasses.field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels to show. By the first one, the lead, layers are chosen."""
        return LABELS

    @property
    def label_words(self) -> Mapping[str, str]:
        return LABEL_WORDS

    @property
    def null_words(self) -> Mapping[str, str]:
        """The null baselines there may be, and their words."""
        return NULLS

    @property
    def random_weights(self) -> bool:
        return False

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer of the model, scored or not, in order."""
        return tuple(dict.fromkeys(key.layer for key in self.values))

    def paper_score(self, label: str, score: str) -> float | None:
        """What the paper has for this model."""
        return None

    @functools.cached_property
    def scored(self) -> dict[str, int]:
        """How many layers each reducer has scores of, by the lead."""
        counts = Counter(key.reducer for key in self.values if (key.label, key.score) == (self.labels[0], "f1"))
        return {reducer: counts[reducer] for reducer in REDUCERS}

    @property
    def clusterings(self) -> int:
        """How many clusterings the best one was chosen from."""
        return sum(self.scored.values())

    @property
    def complete(self) -> bool:
        """Whether each reducer that has been scored at all has been at every layer: no better one can come."""
        return self.clusterings > 0 and set(self.scored.values()) <= {0, len(self.layers)}

    @functools.cached_property
    def chosen(self) -> Place:
        """Where the F1 by the lead is best of all layers and reducers; raises as `best`."""
        return self.best(REDUCERS)

    def best(self, reducers: Iterable[str], label: str = "") -> Place:
        """Where the F1 by a label (the lead, if none is named) is best; of equal ones the lowest layer.

        Raises:
          NotRun: no layer has been scored.
        """
        places = [Place(layer, reducer) for layer in self.layers for reducer in reducers]
        scored = {place: value for place in places if (value := self.value(place, label=label)) is not None}
        if not scored:
            words = self.label_words[label or self.labels[0]]
            raise NotRun(f"no layer has been scored by {words}")
        return max(scored, key=scored.__getitem__)

    def value(self, place: Place, *, label: str = "", score: str = "f1") -> float | None:
        """A score at a place, by the lead if no label is named; None if not run."""
        return self.values.get(Key(place.layer, label or self.labels[0], place.reducer, score))

    def curve(self, *, label: str = "", reducer: str, score: str = "f1") -> dict[str, float]:
        """A score over the layers, without those that lack it."""
        values = {layer: self.value(Place(layer, reducer), label=label, score=score) for layer in self.layers}
        return {layer: value for layer, value in values.items() if value is not None}

    def highest(self, *, label: str, score: str) -> float | None:
        """The highest value of a score over all layers and reducers."""
        curves = (self.curve(label=label, reducer=reducer, score=score) for reducer in REDUCERS)
        return max((value for curve in curves for value in curve.values()), default=None)


def with_scores(subjects: Sequence[S]) -> list[S]:
    """Those that have a chosen place.

    Raises:
      NotRun: there is none.
    """
    found = [subject for subject in subjects if subject.clusterings]
    if not found:
        raise NotRun(f"no layer has been scored by {subjects[0].label_words[subjects[0].labels[0]]}")
    return found

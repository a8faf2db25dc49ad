"""A probing run as a page sees it: the scores of every layer of a pretrained model (paper 3.4)."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clusterlm_jax.records import FINAL_NORM, UserError, layer_names
from clusterlm_jax.report.paper import MODELS, NINE, PaperModel
from clusterlm_jax.report.reading import MAIN, read_files
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.words import REDUCERS, SHORT_REDUCERS, layer_words
from clusterlm_jax.workdir import read_json

WORDS, SPLIT = "null/words", "test"
PROMPTS_FILE = "prompts.jsonl"  # in the dataset's directory
SIZES = ("architecture", "hidden_dim", "layers", "heads")


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
class Probe:
    """A model that was read and scored, as far as its work directory has come; what is not there is left empty.

    Attributes:
      name: of the model; of the work directory before the model is known.
      values: every score.
      words: scores of the null run `null/words`, each prompt as its bag of words; their layer is `0`.
      facts, config, environment: `run.json`, `config.json`, `env.json`.
      seconds: wall time by stage.
      embeddings: files of t-SNE coordinates by layer.
      missing: why there is nothing, where the work directory could not be read.
      others: all models of the same page.
    """

    name: str
    values: Mapping[Key, float] = dataclasses.field(default_factory=dict)
    words: Mapping[Key, float] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    embeddings: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    missing: str = ""
    others: Sequence[Probe] = ()

    @property
    def model(self) -> Mapping[str, Any]:
        """Empty before the model was read."""
        return self.facts.get("model", {})

    @property
    def dataset(self) -> Mapping[str, Any]:
        return self.facts.get("dataset", {})

    @property
    def random_weights(self) -> bool:
        return self.model.get("random_weights", False)

    @property
    def paper(self) -> PaperModel | None:
        """The paper's model that this is; random weights never are."""
        return None if self.random_weights else MODELS.get(self.model.get("name", "").lower())

    @functools.cached_property
    def twin(self) -> Probe | None:
        """The first of the others that is as large, on the same prompts, and has random weights."""
        alike = [other for other in self.others if other.random_weights and other._kind == self._kind]
        return alike[0] if alike and not self.random_weights else None

    @property
    def _kind(self) -> tuple:
        return (self.dataset.get("sha256"), *(self.model.get(size) for size in SIZES))

    @functools.cached_property
    def layers(self) -> tuple[str, ...]:
        """Every layer of the model, scored or not: 0 to L and the final norm."""
        scored = [int(key.layer) for key in self.values if key.layer != FINAL_NORM]
        blocks = self.model.get("layers", max(scored, default=None))
        return () if blocks is None else layer_names(blocks)

    @functools.cached_property
    def scored(self) -> dict[str, int]:
        """How many layers each reducer has task scores of."""
        counts = Counter(key.reducer for key in self.values if (key.label, key.score) == ("task", "f1"))
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
        """Where the task F1 is best of all layers and reducers, as table 1 reports; raises as `best`."""
        return self.best(REDUCERS)

    def best(self, reducers: Iterable[str]) -> Place:
        """Where the task F1 is best with one of these reducers; of equal ones the lowest layer.

        Raises:
          NotRun: no layer has been scored.
        """
        places = [Place(layer, reducer) for layer in self.layers for reducer in reducers]
        scored = [place for place in places if self.value(place) is not None]
        if not scored:
            raise NotRun("no layer has been scored by task")
        return max(scored, key=self.value)

    def value(self, place: Place, *, label: str = "task", score: str = "f1") -> float | None:
        """A score at a place, None if not run."""
        return self.values.get(Key(place.layer, label, place.reducer, score))

    def curve(self, *, label: str = "task", reducer: str, score: str = "f1") -> dict[str, float]:
        """A score over the layers, without those that lack it."""
        values = {layer: self.value(Place(layer, reducer), label=label, score=score) for layer in self.layers}
        return {layer: value for layer, value in values.items() if value is not None}

    def highest(self, *, label: str, score: str) -> float | None:
        """The highest value of a score over all layers and reducers."""
        curves = (self.curve(label=label, reducer=reducer, score=score) for reducer in REDUCERS)
        return max((value for curve in curves for value in curve.values()), default=None)

    def nine(self, place: Place) -> tuple[float | None, ...]:
        """The nine scores of table 1 at a place, in the order of `NINE`."""
        return tuple(self.value(place, label=label, score=score) for label, score in NINE)


def read_probe(workdir: Path, name: str) -> Probe:
    """The probing run of a work directory; `name` is shown until the model is known.

    Raises:
      UserError: there is no such directory, it is another experiment's, or a file in it is damaged.
    """
    experiment = read_json(workdir / "config.json").get("experiment", "probing")
    if experiment != "probing":
        raise UserError(f"{workdir} is a work directory of the experiment {experiment!r}, not 'probing'.")
    files = read_files(workdir)
    values: dict[str, dict[Key, float]] = {MAIN: {}, WORDS: {}}
    for row in files["rows"]:
        if row.run in values and row.split == SPLIT and math.isfinite(row.value):
            values[row.run][Key(row.layer, row.label, row.reducer, row.score)] = row.value
    model = files["facts"].get("model", {})
    coordinates = workdir.glob(f"embeddings/{MAIN}/seed=*/epoch=0000/{SPLIT}/layer=*.npz")
    return Probe(
        name=model.get("name", name) + (" (random weights)" if model.get("random_weights") else ""),
        values=values[MAIN],
        words=values[WORDS],
        embeddings={path.stem.removeprefix("layer="): path for path in sorted(coordinates)},
        **{part: files[part] for part in ("facts", "config", "environment", "seconds")},
    )


def read_probes(workdirs: Mapping[str, Path]) -> tuple[Probe, ...]:
    """The probing runs of several work directories; of one that cannot be read, the reason.

    Models of one name are told apart by the names of their directories.
    """
    probes = []
    for name, workdir in workdirs.items():
        try:
            probes.append(read_probe(workdir, name))
        except UserError as error:
            probes.append(Probe(name, missing=str(error).rstrip(".")))
    times = Counter(probe.name for probe in probes)
    probes = [
        dataclasses.replace(probe, name=f"{probe.name}, {name}") if times[probe.name] > 1 else probe
        for name, probe in zip(workdirs, probes, strict=True)
    ]
    return tuple(dataclasses.replace(probe, others=probes) for probe in probes)


def with_scores(probes: Sequence[Probe]) -> list[Probe]:
    """The probes that have a chosen place.

    Raises:
      NotRun: there is none.
    """
    found = [probe for probe in probes if probe.clusterings]
    if not found:
        raise NotRun("no layer has been scored by task")
    return found

"""A probing run as the report sees it: the scores of every layer of a pretrained model (paper 3.4)."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import os
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clusterlm_jax.analysis.table import read_rows
from clusterlm_jax.records import FINAL_NORM, UserError, layer_names
from clusterlm_jax.report.probing_paper import MODELS, NINE, PaperModel
from clusterlm_jax.report.reading import MAIN, seconds_by_stage
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.words import REDUCERS
from clusterlm_jax.workdir import read_json, read_jsonl

WORDS, SPLIT = "null/words", "test"
Key = tuple[str, str, str, str]  # layer, label, reducer, score


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """A model read and scored, as far as its work directory has come; what is not there is left empty.

    Attributes:
      name: of the model; of the work directory before the model is known.
      values: every score.
      words: scores of the null run `null/words`, each prompt as its bag of words; their layer is `0`.
      facts, config, environment: `run.json`, `config.json`, `env.json`.
      seconds: wall time by stage.
      embeddings: files of t-SNE coordinates by layer.
      address: of the model's own page, relative to the page written; empty where there is no other.
      missing: why there is nothing, where the work directory could not be read.
    """

    name: str
    values: Mapping[Key, float] = dataclasses.field(default_factory=dict)
    words: Mapping[Key, float] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    embeddings: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    address: str = ""
    missing: str = ""

    @property
    def model(self) -> Mapping[str, Any]:
        """The section of `run.json`, empty before the model was read."""
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
    def layers(self) -> tuple[str, ...]:
        """Every layer of the model, scored or not: 0 to L and the final norm."""
        scored = [int(layer) for layer, *_ in self.values if layer != FINAL_NORM]
        blocks = self.model.get("layers", max(scored, default=None))
        return () if blocks is None else layer_names(blocks)

    @functools.cached_property
    def scored(self) -> dict[str, int]:
        """How many layers each reducer has task scores of."""
        keys = [key for key in self.values if (key[1], key[3]) == ("task", "f1")]
        return {reducer: sum(key[2] == reducer for key in keys) for reducer in REDUCERS}

    @property
    def complete(self) -> bool:
        """Whether each reducer that has been scored at all has been at every layer: no better one can come."""
        return any(self.scored.values()) and set(self.scored.values()) <= {0, len(self.layers)}

    @functools.cached_property
    def chosen(self) -> tuple[str, str]:
        """The reducer and the layer of the best task F1 of all: the ones table 1 reports.

        Raises:
          NotRun: no layer has been scored.
        """
        return self.best(tuple(REDUCERS))

    def best(self, reducers: Sequence[str]) -> tuple[str, str]:
        """The reducer and the layer of the best task F1 with one of these reducers; of equal ones the lowest layer."""
        places = [
            (reducer, layer)
            for layer, reducer in itertools.product(self.layers, reducers)
            if (layer, "task", reducer, "f1") in self.values
        ]
        if not places:
            raise NotRun("no layer has been scored by task")
        return max(places, key=lambda place: self.values[place[1], "task", place[0], "f1"])

    def nine(self, reducer: str, layer: str) -> tuple[float | None, ...]:
        """The nine numbers of table 1 at a layer, None where one has not been scored."""
        return tuple(self.values.get((layer, label, reducer, score)) for label, score in NINE)

    def highest(self, label: str, score: str) -> float | None:
        """The highest value of a score over all layers and reducers."""
        curves = (self.curve(label, reducer, score).values() for reducer in REDUCERS)
        return max(itertools.chain(*curves), default=None)

    def curve(self, label: str, reducer: str, score: str) -> dict[str, float]:
        """A score over the layers, without those that lack it."""
        keys = {layer: (layer, label, reducer, score) for layer in self.layers}
        return {layer: self.values[key] for layer, key in keys.items() if key in self.values}


def read_probe(workdir: Path, name: str) -> Probe:
    """The probing run of a work directory; `name` is shown until the model is known.

    Raises:
      UserError: there is no such directory, it is another experiment's, or a file in it is damaged.
    """
    if not workdir.is_dir():
        raise UserError(f"There is no work directory {workdir}; run the earlier stages first.")
    config, facts = read_json(workdir / "config.json"), read_json(workdir / "run.json")
    if config.get("experiment", "probing") != "probing":
        raise UserError(f"{workdir} is a work directory of the experiment {config['experiment']!r}, not 'probing'.")
    model = facts.get("model", {})
    scores = workdir / "scores.csv"
    values: dict[str, dict[Key, float]] = {MAIN: {}, WORDS: {}}
    for row in read_rows(scores) if scores.exists() else ():
        if row.run in values and row.split == SPLIT and math.isfinite(row.value):
            values[row.run][row.layer, row.label, row.reducer, row.score] = row.value
    coordinates = workdir.glob(f"embeddings/{MAIN}/seed=*/epoch=0000/{SPLIT}/layer=*.npz")
    return Probe(
        name=model.get("name", name) + (" (random weights)" if model.get("random_weights") else ""),
        values=values[MAIN],
        words=values[WORDS],
        facts=facts,
        config=config,
        environment=read_json(workdir / "env.json"),
        seconds=seconds_by_stage(read_jsonl(workdir / "timings.jsonl")),
        embeddings={path.stem.removeprefix("layer="): path for path in sorted(coordinates)},
    )


def read_probes(workdirs: Mapping[str, Path], into: Path) -> tuple[Probe, ...]:
    """The probing runs of several work directories, for the page in `into`; models of one name get their directory's.

    Raises:
      UserError: as `read_probe`, of the work directory `into` itself; another one's reason is shown in its place.
    """
    probes = {name: _read(name, workdir, into) for name, workdir in workdirs.items()}
    times = Counter(probe.name for probe in probes.values())
    return tuple(
        dataclasses.replace(probe, name=f"{probe.name}, {name}") if times[probe.name] > 1 else probe
        for name, probe in probes.items()
    )


def _read(name: str, workdir: Path, into: Path) -> Probe:
    if workdir.resolve() == into.resolve():
        return read_probe(workdir, name)
    page = workdir / "report.html"
    address = urllib.parse.quote(os.path.relpath(page, into)) if page.exists() else ""
    try:
        return dataclasses.replace(read_probe(workdir, name), address=address)
    except UserError as error:
        return Probe(name, missing=str(error).rstrip("."))

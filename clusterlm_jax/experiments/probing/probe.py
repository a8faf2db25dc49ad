"""A probing run as a page sees it: the scores of every layer of a pretrained model (paper 3.4)."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clusterlm_jax.files import read_json
from clusterlm_jax.records import FINAL_NORM, UserError, layer_names
from clusterlm_jax.report.layers.scores import Key, LayerScores, Place
from clusterlm_jax.report.paper import MODELS, NINE, PaperModel
from clusterlm_jax.report.reading import MAIN, read_files

WORDS, SPLIT = "null/words", "test"
SIZES = ("architecture", "hidden_dim", "layers", "heads")
NULLS = {
    "words": "bag of words",
    "embedding": "last token alone (layer 0)",
    "untrained": "random weights",
    "regrouped": "whole tasks shuffled",
    "shuffled": "shuffled labels",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Probe(LayerScores):
    """A pretrained model that was read and scored.

    Attributes:
      words: scores of the null run `null/words`, each prompt as its bag of words.
      missing: why there is nothing, where the work directory could not be read.
      others: all models of the same page.
    """

    missing: str = ""
    others: Sequence[Probe] = ()

    @property
    def null_words(self) -> Mapping[str, str]:
        return NULLS

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

    def paper_score(self, label: str, score: str) -> float | None:
        return self.paper.scores[NINE.index((label, score))] if self.paper else None

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

"""A run on a file of hidden states as a page sees it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clusterlm_jax.files import read_json
from clusterlm_jax.records import UserError
from clusterlm_jax.report.layers.scores import Key, LayerScores, Place
from clusterlm_jax.report.reading import MAIN, read_files
from clusterlm_jax.report.words import SHORT_REDUCERS

NULLS = {"regrouped": "whole distributions shuffled", "shuffled": "shuffled labels"}


@dataclasses.dataclass(frozen=True, eq=False)
class States(LayerScores):
    """States of a file that were scored; `missing` says why there are none."""

    missing: str = ""

    @property
    def states(self) -> Mapping[str, Any]:
        """What `run.json` says of the file; empty before it was read."""
        return self.facts.get("states", {})

    @property
    def labels(self) -> tuple[str, ...]:
        """As in the file, but `task` first: it is what states should cluster by."""
        given = self.states.get("labels", ["task"])
        return tuple(sorted(given, key=lambda label: label != "task"))

    @property
    def label_words(self) -> Mapping[str, str]:
        return {label: label for label in self.labels}

    @property
    def null_words(self) -> Mapping[str, str]:
        return NULLS

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.states.get("layers", ()))

    def where(self, place: Place) -> str:
        """A place in words. What layer 0 is, only the file's author knows."""
        return f"layer {place.layer}, {SHORT_REDUCERS[place.reducer]}"

    @property
    def scores(self) -> list[tuple[str, str, str]]:
        """(reducer, score, label) of every score that there is, in the order of the rows."""
        return list(dict.fromkeys((key.reducer, key.score, key.label) for key in self.values))


def read_states(workdir: Path, name: str) -> States:
    """The run of a work directory, under this name.

    Raises:
      UserError: there is no such directory, it is another experiment's, or a file in it is damaged.
    """
    experiment = read_json(workdir / "config.json").get("experiment", "states")
    if experiment != "states":
        raise UserError(f"{workdir} is a work directory of the experiment {experiment!r}, not 'states'.")
    files = read_files(workdir)
    coordinates = sorted(workdir.glob(f"embeddings/{MAIN}/seed=*/epoch=0000/*/layer=*.npz"))
    return States(
        name=name,
        values={
            Key(row.layer, row.label, row.reducer, row.score): row.value
            for row in files["rows"]
            if row.run == MAIN and math.isfinite(row.value)
        },
        embeddings={path.stem.removeprefix("layer="): path for path in coordinates},
        **{part: files[part] for part in ("facts", "config", "environment", "seconds")},
    )


def read_several(workdirs: Mapping[str, Path]) -> tuple[States, ...]:
    """The runs of several work directories; of one that cannot be read, the reason."""
    found = []
    for name, workdir in workdirs.items():
        try:
            found.append(read_states(workdir, name))
        except UserError as error:
            found.append(States(name, missing=str(error).rstrip(".")))
    return tuple(found)

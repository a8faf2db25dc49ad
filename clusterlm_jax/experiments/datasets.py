"""The synthetic datasets of a work directory, one for each seed: made once, and the same ever after."""

from __future__ import annotations

from typing import Any

from clusterlm_jax.data import storage
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.experiments.stages import Stage
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.records import Dataset, UserError
from clusterlm_jax.workdir import WorkDir


def _make(config: Any, work: Work) -> None:
    """Synthesises the dataset of every seed, unless the work directory has it."""
    for seed in config.seeds:
        if not (work.dir.dataset(seed) / storage.FILE).exists():
            with work.dir.timed("data"):
                dataset = synthesise(config.data, seed)
                _check_same(work.dir, seed, dataset)
                storage.save(dataset, work.dir.dataset(seed))
    load(config, work.dir)


def _made(config: Any, workdir: WorkDir) -> bool:
    return all((workdir.dataset(seed) / storage.FILE).is_file() for seed in config.seeds)


MAKE = Stage(_make, left=_made, timed=False, together=True)


def load(config: Any, workdir: WorkDir) -> dict[int, Dataset]:
    """The datasets by seed. Their sizes are noted in `run.json`, unless they are there.

    Raises:
      UserError: one is missing, unreadable, or not the one this run began with.
    """
    datasets = {seed: storage.load(workdir.dataset(seed)) for seed in config.seeds}
    for seed, dataset in datasets.items():
        noted = _check_same(workdir, seed, dataset)
        if "sha256" not in noted:  # killed before they were written
            facts = storage.statistics(dataset) | {"sha256": storage.digest(dataset)}
            workdir.update_run(dataset=workdir.read_json("run.json").get("dataset", {}) | {str(seed): facts})
    return datasets


def _check_same(workdir: WorkDir, seed: int, dataset: Dataset) -> dict[str, Any]:
    """What `run.json` notes of a seed's dataset. A run's hidden states are scored with the labels it was trained with.

    Raises:
      UserError: it notes another dataset, or the note is damaged.
    """
    noted = workdir.read_json("run.json").get("dataset", {}).get(str(seed), {})
    whole = isinstance(noted, dict) and all(isinstance(noted[name], int | float) for name in noted.keys() - {"sha256"})
    if not whole:
        raise UserError(f"{workdir.root / 'run.json'} is damaged (what it says of the dataset of seed {seed}).")
    if noted.get("sha256") not in (None, storage.digest(dataset)):
        raise UserError(f"The dataset of {workdir.root} is not the one this run began with: use a new --workdir.")
    return noted

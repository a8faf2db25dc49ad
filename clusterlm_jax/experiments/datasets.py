"""The datasets of a work directory, one for each seed: made once, and the same ever after."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clusterlm_jax.data import storage
from clusterlm_jax.experiments import environment
from clusterlm_jax.records import Dataset, UserError
from clusterlm_jax.workdir import WorkDir


def check(seeds: Sequence[int], workdir: WorkDir) -> None:
    """Refuses to go on without the datasets.

    Raises:
      UserError: naming the stage to run first.
    """
    if not all((workdir.dataset(seed) / storage.FILE).is_file() for seed in seeds):
        raise UserError(f"There is no dataset in {workdir.root}: run the 'data' stage first (config.stages).")


def make(seeds: Sequence[int], workdir: WorkDir, synthesise: Callable[[int], Dataset]) -> None:
    """Synthesises the dataset of every seed, unless the work directory has it, and notes its sizes in `run.json`."""
    for seed in seeds:
        there = (workdir.dataset(seed) / storage.FILE).exists()
        known = workdir.read_json("run.json").get("dataset", {})
        if there and str(seed) in known:
            continue
        if there:  # killed before its facts were written
            dataset = storage.load(workdir.dataset(seed))
        else:
            with environment.timed(workdir, "data"):
                dataset = synthesise(seed)
                _check_same(workdir, seed, dataset)
                storage.save(dataset, workdir.dataset(seed))
        facts = storage.statistics(dataset) | {"sha256": storage.digest(dataset)}
        workdir.update_run(dataset=known | {str(seed): facts})


def load(seeds: Sequence[int], workdir: WorkDir) -> dict[int, Dataset]:
    """The datasets by seed.

    Raises:
      UserError: one is missing, unreadable, or not the one this run began with.
    """
    datasets = {seed: storage.load(workdir.dataset(seed)) for seed in seeds}
    for seed, dataset in datasets.items():
        _check_same(workdir, seed, dataset)
    return datasets


def _check_same(workdir: WorkDir, seed: int, dataset: Dataset) -> None:
    """A run's hidden states are scored with the labels it was trained with."""
    begun_with = workdir.read_json("run.json").get("dataset", {}).get(str(seed), {}).get("sha256")
    if begun_with not in (None, storage.digest(dataset)):
        raise UserError(f"The dataset of {workdir.root} is not the one this run began with: use a new --workdir.")

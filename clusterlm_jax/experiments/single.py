"""One experiment in one work directory: what a command runs, and a grid at each of its points."""

from __future__ import annotations

import importlib
from types import ModuleType

from clusterlm_jax.settings import Settings
from clusterlm_jax.workdir import WorkDir


def run(config: Settings, workdir: WorkDir) -> None:
    """Checks what is there, takes the directory for this process and this configuration, and runs the stages.

    Raises:
      UserError: an earlier stage is missing, or the directory is another process's or another configuration's.
    """
    experiment = module_of(config)
    experiment.check(config, workdir)
    with workdir.locked():
        workdir.claim(config.as_dict())
        experiment.run(config, workdir)


def module_of(config: Settings) -> ModuleType:
    """The module of an experiment: it has `check`, `run`, and `compare` for several runs."""
    return importlib.import_module(f"clusterlm_jax.experiments.{config.experiment}")

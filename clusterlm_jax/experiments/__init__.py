"""The experiments, a folder each. A new folder with these modules is a new experiment; nothing else names it:

    settings.py   SETTINGS: a class of `clusterlm_jax.settings.Settings`, what a configuration may say
    stages.py     STAGES: what the experiment does, by name and in order (see `experiments.stages`)
    page.py       write(workdir, spec) and compare(workdirs, into, spec): what it shows

`settings` and `page` load no jax.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from clusterlm_jax.records import UserError


def names() -> tuple[str, ...]:
    """The experiments there are."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg))


def part(experiment: str, module: str) -> ModuleType:
    """`settings`, `stages` or `page` of an experiment.

    Raises:
      UserError: naming the experiments there are.
    """
    if experiment not in names():
        raise UserError(f"config.experiment is {experiment!r}; allowed: {', '.join(names())}.")
    return importlib.import_module(f"{__name__}.{experiment}.{module}")

"""Stages: what an experiment is made of, and the one runner of them all.

Each stage reads what the ones before left in the work directory. Any of them may be killed; the same command resumes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from clusterlm_jax import experiments
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.records import UserError
from clusterlm_jax.settings import Settings
from clusterlm_jax.workdir import WorkDir


class Stage(NamedTuple):
    """A step of an experiment.

    Attributes:
      run: does it.
      needs: the earlier stages it cannot do without.
      left: whether a work directory has all that later stages need of this one; it raises nothing but
        `UserError`, for a damaged file.
      check: raises `UserError` for what would fail later, before anything is touched.
      timed: whether its wall time is noted as a whole; a training notes each epoch instead, so a killed one counts.
    """

    run: Callable[[Any, Work], None]
    needs: tuple[str, ...] = ()
    left: Callable[[Any, WorkDir], bool] = lambda config, workdir: True
    check: Callable[[Any, WorkDir], None] = lambda config, workdir: None
    timed: bool = True


def run(config: Settings, workdir: WorkDir) -> None:
    """Checks what is there, takes the directory for this process and this configuration, and runs `config.stages`.

    Raises:
      UserError: an earlier stage is missing, or the directory is another process's or another configuration's.
    """
    # What a page needs was there when it was drawn first; without the other stages nobody waits for jax to be loaded.
    redrawn = config.stages == ("report",) and (workdir.root / "report.html").is_file()
    stages = {"report": report()} if redrawn else experiments.part(config.experiment, "stages").STAGES
    chosen = {name: stage for name, stage in stages.items() if name in config.stages}
    for name, stage in chosen.items():
        for needed in stage.needs:
            if needed not in chosen and not stages[needed].left(config, workdir):
                raise UserError(
                    f"The stage {name!r} needs what {needed!r} leaves, which is not in {workdir.root}: "
                    f"run {needed!r} first (config.stages)."
                )
        stage.check(config, workdir)
    with workdir.locked():
        workdir.claim(config.as_dict())
        with Work(config, workdir) as work:
            for name, stage in chosen.items():
                with workdir.timed(name) if stage.timed else contextlib.nullcontext():
                    stage.run(config, work)


def _report(config: Settings, work: Work) -> None:
    page = experiments.part(config.experiment, "page").write(work.dir.root, config.report)
    print(f"The report is at {page}")


def report(*needs: str) -> Stage:
    """The last stage of every experiment: its page, as far as the run has come."""
    return Stage(_report, needs)

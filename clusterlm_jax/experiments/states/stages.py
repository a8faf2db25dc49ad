"""Hidden states of one's own: which layer clusters by which label?

    read -> analyse -> report

The states of a file are put where the evaluator looks for them, then scored layer by layer as `cluster_layers` does.
Any stage may be killed; the same command resumes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from clusterlm_jax.experiments import environment
from clusterlm_jax.experiments.stages import Stage, report
from clusterlm_jax.experiments.states import file
from clusterlm_jax.experiments.states.settings import States
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.library import RUN, OwnStates, arrange, cells_of_own
from clusterlm_jax.records import Cell, UserError
from clusterlm_jax.workdir import WorkDir


def read(config: States, work: Work) -> None:
    """Reads the file, unless its states are there or scored already."""
    path, facts = Path(config.states), _facts(work.dir)
    if facts:
        cells = _settle(config, work)
        if work.store.has(RUN, config.seeds[0], 0, facts["split"]) or all(map(work.table.done, cells)):
            return
    sha256 = file.digest(path)
    if facts and facts["sha256"] != sha256:
        raise UserError(f"{path} is not the file this run began with: use a new --workdir.")
    own = _arranged(config)
    layers, instances, width = own.splits[0].hidden_LND.shape
    scored = own.splits[-1]
    left_out = [job for job in config.eval.jobs if job not in own.spec.jobs]
    print(
        f"{layers} layers of {scored.hidden_LND.shape[1]:,} states of width {width:,}; labels "
        f"{', '.join(own.spec.labels)}" + f"; not run: {', '.join(left_out)}" * bool(left_out)
    )
    environment.record(work.dir, {"hidden states": "as in the file"})
    for states in own.splits:
        work.store.save(states)
    facts = {"file": path.name, "sha256": sha256, "layers": scored.layers, "width": width, "split": scored.split}
    facts |= {"instances": scored.hidden_LND.shape[1], "training": instances if len(own.splits) > 1 else None}
    work.dir.update_run(states=facts | {"labels": own.spec.labels, "jobs": own.spec.jobs, "names": own.names})


def analyse(config: States, work: Work) -> None:
    """Scores every layer."""
    work.score(_settle(config, work))
    work.drain()


def _facts(workdir: WorkDir) -> dict[str, Any]:
    """What `run.json` says of the states; empty before they were read."""
    return workdir.read_json("run.json").get("states", {})


def _arranged(config: States) -> OwnStates:
    return arrange(*file.read(Path(config.states)), config.eval, config.seeds[0])


def _settle(config: States, work: Work) -> list[Cell]:
    """The cells to score, once the settings have the labels and jobs that the file allows."""
    facts = _facts(work.dir)
    work.spec = dataclasses.replace(work.spec, labels=tuple(facts["labels"]), jobs=tuple(facts["jobs"]))
    return cells_of_own(work.spec, config.seeds[0], facts["split"], facts["layers"])


def _read(config: States, workdir: WorkDir) -> bool:
    return bool(_facts(workdir))


def _check(config: States, workdir: WorkDir) -> None:
    """The file must fit, unless it was read. It is read twice for that: a misfit must not leave a work directory."""
    if not _read(config, workdir):
        _arranged(config)


STAGES = {
    "read": Stage(read, left=_read, check=_check),
    "analyse": Stage(analyse, needs=("read",)),
    "report": report("read"),
}

"""Do the clusters do anything? Causal tests on the best models of a finished main run.

    test -> report

States at one layer are replaced by others, and the answers are counted. Swap: the state of another instance with the
same input and another task. Move: the own state plus a direction to the other task. Remove: the own state without the
directions between tasks. Where it comes from: the states of the instruction's last symbols, swapped. Directions and
spaces come from the training set; what is patched are validation instances. A killed test resumes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from clusterlm_jax import progress
from clusterlm_jax.data import storage
from clusterlm_jax.data.natural import shared
from clusterlm_jax.experiments import environment
from clusterlm_jax.experiments.causal.effects import NOTHING, ROWS, Measured
from clusterlm_jax.experiments.causal.interventions import Bench, Measurement
from clusterlm_jax.experiments.causal.pretrained import open_checkpoint
from clusterlm_jax.experiments.causal.settings import Causal
from clusterlm_jax.experiments.causal.trained import Trained, checked_config, open_run
from clusterlm_jax.experiments.stages import Stage, report
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.extraction import hub
from clusterlm_jax.files import read_jsonl
from clusterlm_jax.models.gpt2 import parameter_count
from clusterlm_jax.models.spec import GPT2Spec
from clusterlm_jax.records import UserError, write_atomically
from clusterlm_jax.workdir import WorkDir


def test(config: Causal, work: Work) -> None:
    """Measures what has not been measured yet, seed by seed."""
    models = open_checkpoint(config, work.dir) if config.checkpoint else open_run(Path(config.run))
    _check_same(work.dir, models)
    products = f"{config.extract.compute_dtype} operands, float32 sums" if config.checkpoint else "highest"
    environment.record(work.dir, {"hidden states": products, "patched passes": products})
    for trained in models:
        if not _facts(work.dir, trained.seed).get("measured"):
            _test(config, work.dir, trained)


def _test(config: Causal, workdir: WorkDir, trained: Trained) -> None:
    bench = Bench(config, trained)
    pairs, accuracy, of_task = len(bench.pairs.own_N), float(trained.right_N.mean()), trained.accuracies()
    _note(workdir, trained, pairs=pairs, accuracy=accuracy, accuracies=of_task)
    print(f"seed {trained.seed}: accuracy {accuracy:.3f} on validation, {pairs:,} pairs of instances")
    print("".join(f"  {share:.2f} {name}\n" for name, share in of_task.items()), end="")
    if not pairs:
        print(NOTHING)
    measurements = list(bench.measurements())
    done = _done(workdir, trained.seed, measurements)
    with progress.bar(f"seed {trained.seed}", "measurement", len(measurements), len(done), progress.COMPILING) as shown:
        for measurement in (m for m in measurements if m.of not in done):
            with workdir.timed(measurement.of.test):
                _append(workdir, trained.seed, measurement)
            shown.update()
            shown.set_postfix_str("")
    _note(workdir, trained, measured=True)


def _done(workdir: WorkDir, seed: int, measurements: Iterable[Measurement]) -> set[Measured]:
    """What has a row for each layer. Rows of a measurement that a kill cut off are dropped."""
    rows = read_jsonl(workdir.root / ROWS)
    found = Counter(_of(row) for row in rows if row["seed"] == seed)
    done = {m.of for m in measurements if found[m.of] == len(m.layers)}
    text = "".join(json.dumps(row) + "\n" for row in rows if row["seed"] != seed or _of(row) in done)
    write_atomically(workdir.root / ROWS, lambda path: path.write_text(text, encoding="utf-8"))
    return done


def _of(row: Mapping[str, Any]) -> Measured:
    return Measured(*(row[name] for name in Measured._fields))


def _append(workdir: WorkDir, seed: int, measurement: Measurement) -> None:
    """Adds the rows of a measurement, a layer each, in one write."""
    shares = zip(measurement.layers, measurement.run(), strict=True)
    lines = [
        {"seed": seed, **measurement.of._asdict(), "layer": layer}
        | {name: None if math.isnan(share) else round(share, 6) for name, share in of_layer.items()}
        for layer, of_layer in shares
    ]
    with (workdir.root / ROWS).open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))


def _note(workdir: WorkDir, trained: Trained, **facts: Any) -> None:
    """Adds facts of a seed to `run.json`, and of the model."""
    spec = trained.model.spec
    model = {key: getattr(spec, key) for key in ("hidden_dim", "layers", "heads")}
    model |= {"parameters": parameter_count(trained.params), "architecture": type(trained.model).__name__}
    model["ffn_dim"] = spec.feed_forward_width if isinstance(spec, GPT2Spec) else spec.ffn_dim
    known = workdir.read_json("run.json").get("seeds", {})
    own = known.get(str(trained.seed), {}) | facts
    workdir.update_run(model=model, seeds=known | {str(trained.seed): own})


def _facts(workdir: WorkDir, seed: int) -> Mapping[str, Any]:
    return workdir.read_json("run.json").get("seeds", {}).get(str(seed), {})


def _check_same(workdir: WorkDir, models: Iterable[Trained]) -> None:
    """The rows of a work directory are all of one run: it may not have been trained again in between."""
    for trained in models:
        sha = hashlib.sha256(storage.digest(trained.dataset).encode())
        for leaf in jax.tree.leaves(trained.params):
            sha.update(np.ascontiguousarray(leaf).tobytes())
        if _facts(workdir, trained.seed).get("sha256", sha.hexdigest()) != sha.hexdigest():
            raise UserError(f"The run under test is not the one that {workdir.root} began with: use a new --workdir.")
        _note(workdir, trained, sha256=sha.hexdigest())


def _check(config: Causal, workdir: WorkDir) -> None:
    environment.check_device(config, workdir)
    if config.checkpoint:
        shared.compose(config.data, config.seeds[0])
        hub.locate(config.checkpoint, weights=not config.extract.random_weights)
        return
    if not config.run:
        raise UserError(
            "config.run is not set; it must be the work directory of a finished main run, for example "
            "--config.run=runs/quick; or config.checkpoint must name a pretrained model."
        )
    checked_config(WorkDir(Path(config.run)))


def _begun(config: Causal, workdir: WorkDir) -> bool:
    return (workdir.root / ROWS).is_file()


STAGES = {"test": Stage(test, left=_begun, check=_check, timed=False), "report": report("test")}

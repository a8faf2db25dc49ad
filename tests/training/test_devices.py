"""Training over several devices: the losses, states and resumed losses of one device, and no needless traffic."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from clusterlm_jax.data.batching import TrainingBatches, fill_rows
from tests.command_line import QUICK_TO_COMPILE, ROOT, environment

TOLERANCE = 1e-5  # relative, of losses; of states, which are of order 1, absolute
# Sides by name: how many devices, and whether parameters are cut. Batches have 6 rows, so all of them fill up.
SIDES = {"one": (1, False), "four": (4, False), "cut": (8, True)}

# It runs in a process of its own, because the number of devices is fixed when a process starts.
COMPARISON = """
import json, sys
import jax, numpy as np
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.models import placement
from clusterlm_jax.training.devices import Devices
from tests.conftest import SMALL_DATA
from tests.training.trainers import make_trainer

dataset, before = synthesise(SMALL_DATA, 3), None
for name, (count, cut) in json.loads(sys.argv[1]).items():
    devices = Devices(placement.mesh_over(jax.devices()[:count]), cut)
    trainer = make_trainer(dataset, analysed=(2,), devices=devices, epochs=2)
    ends = list(trainer.epochs())
    before = before or jax.device_get(ends[1].state)  # after an epoch on one device
    places = jax.tree.map(lambda leaf: leaf.sharding, trainer.template)
    resumed = list(trainer.epochs(jax.tree.map(placement.put, before, places), done=1))
    given = trainer._course, ends[1].state, trainer._epoch(1), np.ones((1, trainer.batches[0].steps), bool)
    program = trainer._steps.lower(*given).compile().as_text()
    largest = max(jax.tree.leaves(ends[2].state), key=lambda leaf: leaf.size)
    print(json.dumps({
        "rows": trainer._epoch(1).tokens_RT.shape[2],
        "metrics": [end.seeds[0].metrics for end in ends],
        "resumed": resumed[0].seeds[0].metrics,
        "states": np.concatenate([h.hidden_LND.ravel()[::7] for h in ends[2].seeds[0].hidden]).tolist(),
        "held": largest.addressable_shards[0].data.size / largest.size,
        "gathered": sorted(line.split("=")[1].split()[0] for line in program.splitlines() if " all-gather(" in line),
        "sums": program.count(" all-reduce("),
        "columns": trainer.batches[0].columns,
    }))
"""


@pytest.fixture(scope="module")
def compared() -> dict[str, dict]:
    flags = {"XLA_FLAGS": f"{QUICK_TO_COMPILE['XLA_FLAGS']} --xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-c", COMPARISON, json.dumps(SIDES)]
    ran = subprocess.run(command, cwd=ROOT, env=environment() | flags, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return dict(zip(SIDES, map(json.loads, ran.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("side", [name for name in SIDES if name != "one"])
def test_several_devices_train_as_one(side, compared):
    """Breaks if padding counts, if dropout depends on the devices, or if a device sums only its own part."""
    one, several = compared["one"], compared[side]
    for epoch in range(3):
        assert several["metrics"][epoch] == pytest.approx(one["metrics"][epoch], rel=TOLERANCE)
    assert several["resumed"] == pytest.approx(one["metrics"][2], rel=TOLERANCE)
    assert np.abs(one["states"]).max() > 0.5
    np.testing.assert_allclose(several["states"], one["states"], atol=TOLERANCE)
    assert one["metrics"][2]["training_loss"] < one["metrics"][1]["training_loss"] - 0.1


def test_uneven_batches_are_filled(compared):
    assert [compared[side]["rows"] for side in SIDES] == [6, 8, 8]


def test_devices_exchange_sums_only(compared):
    """With the parameters on every device nothing is gathered: a sum of gradients, and one of logits for each loss."""
    assert compared["one"]["sums"] == 0
    assert compared["four"]["gathered"] == []
    assert 0 < compared["four"]["sums"] < 6


def test_cut_parameters_travel_and_activations_do_not(compared):
    cut = compared["cut"]
    assert cut["held"] == 1 / 8
    assert compared["four"]["held"] == 1
    assert cut["gathered"]
    assert not [shape for shape in cut["gathered"] if f",{cut['columns']}," in shape or f",{cut['columns']}]" in shape]


def test_rows_of_padding_come_last(dataset):
    batches = TrainingBatches(dataset, 12, "instance", 1, 0).epoch(1)
    filled = fill_rows(batches, 4)
    rows = batches.tokens_RT.shape[1]
    assert filled.tokens_RT.shape[1] % 4 == 0 != rows % 4
    assert not filled.segment_RT[:, rows:].any()
    for before, after in zip(batches, filled, strict=True):
        np.testing.assert_array_equal(after[:, : before.shape[1]], before)

"""Three starts for one fine-tuning: the same but for the parameters it begins with; killed and resumed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from clusterlm_jax import config
from clusterlm_jax.data.pretraining import with_task_identities
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.experiments import stages
from clusterlm_jax.experiments.pretraining.settings import Pretraining
from clusterlm_jax.experiments.pretraining.stages import fine_tuning_of, pretrainings_of
from clusterlm_jax.experiments.pretraining.starts import PHASES, STARTS
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.records import Batch, Dataset, UserError
from clusterlm_jax.training.loop import Trainer, initial_states
from clusterlm_jax.training.phase import Phase
from clusterlm_jax.training.reading import Reader, SplitReading
from clusterlm_jax.workdir import WorkDir
from tests import command_line
from tests.command_line import ROOT, SMALL, command, kill_when, lines, metrics, scores

pytestmark = pytest.mark.slow
SEEDS = (0, 1)
SETTINGS = {
    **{key: value for key, value in SMALL.items() if not key.startswith("train.")},
    "model.layers": 1,
    "eval.jobs": ("raw",),
    "eval.workers": 1,
    "seeds": SEEDS,
    **{
        f"{section}.{key}": value
        for section in ("pretrain", "train")
        for key, value in {"epochs": 2, "batch_size": 6, "learning_rate": 0.01}.items()
    },
    "train.batch_unit": "instruction",
}
FLAGS = (f"--config={ROOT / 'configs' / 'pretraining.py'}", *(f"--config.{k}={v}" for k, v in SETTINGS.items()))
STAGES = "--config.stages=('data', 'train', 'analyse')"
STATES = 2 * 3 * 3  # seeds, epochs, states of one block
CLUSTERING = 2 * 8 + 3 * 3  # labels by scores, null labels by scores
ROWS_OF_A_STATE = 2 * (CLUSTERING + 3) + 6  # on two splits, with shares of variance; hard examples on one
ROWS = 1 + (STATES + len(SEEDS)) * ROWS_OF_A_STATE  # header; the bag of symbols is a state, too


def run(workdir: Path, *flags: str, **variables: str) -> str:
    """Runs to the end; what it told."""
    result = command_line.run(workdir, *FLAGS, *flags, small=False, **variables)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("pretraining") / "run"
    run(workdir, STAGES)
    return workdir


@pytest.fixture(scope="module")
def settings() -> Pretraining:
    raw = config.default("pretraining")
    with raw.unlocked():
        raw.update_from_flattened_dict(SETTINGS)
    return config.build(raw)


@pytest.fixture(scope="module")
def datasets(settings) -> dict[int, Dataset]:
    return {seed: with_task_identities(synthesise(settings.data, seed)) for seed in SEEDS}


@pytest.fixture(scope="module")
def work(undisturbed, settings) -> Work:
    return Work(settings, WorkDir(undisturbed))


def same(one, other) -> bool:
    return all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), one, other)))


def test_the_job_leaves_what_it_should(undisturbed):
    records = [json.loads(line) for line in metrics(undisturbed).splitlines()]
    order = ("task_id/pretrain", "task_id/finetune", "instruction/pretrain", "instruction/finetune", "none/finetune")
    assert set(order) == set(PHASES)
    assert [(r["run"], r["epoch"], r["seed"]) for r in records] == [
        (name, epoch, seed) for name in order for epoch in range(3) for seed in SEEDS
    ]
    assert len(scores(undisturbed)) == ROWS
    assert {row.split(",")[0] for row in scores(undisturbed)} == {"run", "task_id/pretrain", "null/symbols"}
    assert not list((undisturbed / "hidden").rglob("*.npy"))
    facts = json.loads((undisturbed / "run.json").read_text())
    assert set(facts["phases"]) == set(order)
    assert facts["phases"]["none/finetune"]["training"]["0"]["instances_per_step"] == 6
    assert facts["model"]["vocabulary"] == 12 + 9 + 2 + 1 + 8  # with the trigger and eight identities


def test_the_best_epochs_are_those_of_their_criterion(undisturbed):
    """Highest task-ID accuracy, least loss of whole instructions, highest task accuracy; of equal ones the earliest."""
    records = [json.loads(line) for line in metrics(undisturbed).splitlines()]
    facts = json.loads((undisturbed / "run.json").read_text())["phases"]
    for name in PHASES:
        by_loss = name == "instruction/pretrain"
        for seed in SEEDS:
            mine = [r for r in records if r["run"] == name and r["seed"] == seed]
            values = [-r["validation_sequence_loss"] if by_loss else r["validation_accuracy"] for r in mine]
            assert facts[name]["best"][str(seed)]["epoch"] == int(np.argmax(values))


def test_fine_tunings_differ_in_their_initial_parameters_alone(settings, datasets, work):
    """Same instances in the same order, and a fresh optimiser; each begins with the best of its own pre-training."""
    before = pretrainings_of(settings, datasets)
    tunings = {s: fine_tuning_of(settings, datasets, s, before.get(s), work) for s in STARTS}
    trainers = {start: Trainer(phase) for start, phase in tunings.items()}
    for start in ("task_id", "instruction"):
        for epoch in (1, 2):
            for ours, none in zip(trainers[start].batches, trainers["none"].batches, strict=True):
                for name in Batch._fields:
                    np.testing.assert_array_equal(
                        getattr(ours.epoch(epoch), name), getattr(none.epoch(epoch), name), err_msg=name
                    )
    none, instruction = (initial_states(tunings[start]) for start in ("none", "instruction"))
    assert same(instruction.opt_state, none.opt_state), "the optimiser begins afresh"
    assert not instruction.step.any()
    assert not same(instruction.params, none.params)
    assert same(none.params, initial_states(before["instruction"]).params), "all begin alike"


@pytest.fixture(scope="module")
def instruction_start(settings, datasets, work) -> tuple[Phase, Phase, list[SplitReading]]:
    """Pre-training on instructions, the fine-tuning after it, and what its initial parameters read before it."""
    before = pretrainings_of(settings, datasets)["instruction"]
    tuning = fine_tuning_of(settings, datasets, "instruction", before, work)
    reader = Reader(before.model, tuple(before.datasets.values()), "map")
    return before, tuning, reader(tuning.initial, "validation")


def test_fine_tuning_begins_with_the_least_loss_of_its_pretraining(instruction_start, undisturbed):
    """Read once more, that loss is found again, seed by seed; any other epoch's parameters have another."""
    *_, readings = instruction_start
    records = [json.loads(line) for line in metrics(undisturbed).splitlines()]
    for seed, reading in zip(SEEDS, readings, strict=True):
        losses = sorted(
            record["validation_sequence_loss"]
            for record in records
            if record["run"] == "instruction/pretrain" and record["seed"] == seed
        )
        assert losses[0] < losses[1] - 1e-4
        assert reading.sequence_loss == pytest.approx(losses[0], abs=1e-5)


def test_the_loss_of_instructions_alone_is_that_of_every_symbol_but_the_first(instruction_start):
    """Beside a padded pass over plain sequences; that the last two symbols play input and output must not show."""
    before, tuning, readings = instruction_start
    alone = before.datasets[0]
    index = alone.splits["validation"]
    tokens_NT, length_N = alone.tokens_NT[index], alone.length_N[index]
    there_NT = np.arange(tokens_NT.shape[1]) < length_N[:, None]
    position_NT = np.broadcast_to(np.arange(tokens_NT.shape[1]), tokens_NT.shape)
    segment_NT, none_NT, place = there_NT.astype(np.int32), np.zeros_like(tokens_NT), np.zeros(1, np.int32)
    plain = Batch(tokens_NT, position_NT, segment_NT, none_NT, segment_NT, place, place, place, place)
    params = jax.tree.map(lambda leaf: leaf[0], tuning.initial)
    log_NTV = np.asarray(jax.nn.log_softmax(before.model.apply({"params": params}, plain)))
    loss_NT = -np.take_along_axis(log_NTV[:, :-1], tokens_NT[:, 1:, None], axis=-1)[..., 0]
    assert readings[0].sequence_loss == pytest.approx(loss_NT[there_NT[:, 1:]].mean(), rel=1e-5)


def test_killed_in_a_pretraining_and_in_a_fine_tuning_it_ends_alike(undisturbed, tmp_path):
    """In the middle of pre-training on instructions, then of the last fine-tuning: six lines of metrics a phase."""
    workdir = tmp_path / "run"
    for written in (2 * 6 + 3, 4 * 6 + 3):
        kill_when(
            command(workdir, *FLAGS, STAGES, small=False),
            lambda written=written: lines(workdir / "metrics.jsonl") >= written,
        )
        assert metrics(workdir) != metrics(undisturbed)
    run(workdir, STAGES)
    assert metrics(workdir) == metrics(undisturbed)
    assert scores(workdir) == scores(undisturbed)
    facts = [json.loads((path / "run.json").read_text())["phases"] for path in (workdir, undisturbed)]
    assert facts[0] == facts[1]


def test_the_report_needs_no_device(undisturbed):
    told = run(undisturbed, "--config.stages=('report',)", JAX_PLATFORMS="no_such_platform")
    assert f"The report is at {undisturbed}/report.html" in told
    assert {path.stem for path in (undisturbed / "figures").glob("*.png")} >= {"figure_5a", "figure_5b"}


@pytest.mark.parametrize("chosen", [("train",), ("analyse", "report"), ("report",)])
def test_stages_whose_earlier_ones_are_missing_are_refused(settings, tmp_path, chosen):
    with pytest.raises(UserError, match=f"The stage '{chosen[0]}' needs what 'data' leaves"):
        stages.run(dataclasses.replace(settings, stages=chosen), WorkDir(tmp_path))

"""Where the wall time of a run goes, stage by stage, beside the least its operations and bytes could take.

    .venv/bin/python -m benchmarks.main_run [FILE] [KEY=VALUE ...]

for example `configs/synthetic.py train.epochs=20 eval.every=10`. The main experiment is run from its first import to
its report, in a process and a work directory of its own. The parts are the main thread's: while it waits, the device
trains and reads, and worker processes score. The parts add up to the wall time. What the workers do is listed by job.

The floor counts the operations of the matrix products that real tokens need, 20 for each pair of points in an iteration
of t-SNE, and the bytes of AdamW, at the ceilings that a large matrix product and a copy reach on this machine. The
device and the workers share the processor on a CPU; on an accelerator the two halves of the floor overlap.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple
from unittest import mock

import jax

from benchmarks import command_line, measuring
from benchmarks.training import counted, useful
from clusterlm_jax import config, experiments
from clusterlm_jax import main as command
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.executors.pool import Worker
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.data.batching import TrainingBatches, reading_batches
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.models.gpt2 import GPT2, initial_params, parameter_count
from clusterlm_jax.records import Cell, UserError, layer_names
from clusterlm_jax.training import steps
from clusterlm_jax.training.checkpoints import Checkpoints
from clusterlm_jax.training.loop import REFERENCE, Trainer
from clusterlm_jax.training.phase import analysed_epochs
from clusterlm_jax.training.reading import ROWS, Reader

START, COMPILING, DISPATCH = "start and imports", "compiling", "handing work to the device"
PARTS = {
    "packing": [(TrainingBatches, "__init__"), (TrainingBatches, "epoch")],
    DISPATCH: [(Reader, "dispatch")],
    "training (waiting for the device)": [(Trainer, "_end")],
    "reading states (waiting for the device)": [(Reader, "fetch")],
    "hidden states to disk": [(HiddenStore, "save")],
    "checkpoints": [(Checkpoints, name) for name in ("restore_last", "save_best", "save_last", "close")],
    "waiting for the evaluator": [(Evaluator, name) for name in ("submit", "drain", "close")],
}
OPERATIONS_OF_A_PAIR = 20  # of t-SNE: 3 differences, their squares' sum, the kernel, its two sums, the force in 3 axes
BYTES_OF_A_WEIGHT = 28  # AdamW reads a weight, its gradient and two moments, and writes all but the gradient; float32


class Profile:
    """Seconds of the main thread by part, and of the workers by job. A part inside another is taken from it."""

    def __init__(self) -> None:
        self.seconds: collections.Counter[str] = collections.Counter()
        self.jobs: collections.Counter[str] = collections.Counter()
        self.cells: collections.Counter[str] = collections.Counter()
        self._inside: list[float] = []  # of each open part: the seconds of the parts inside it
        self._compiled: list[tuple[float, float]] = []  # start and seconds of what was compiled, without what is inside
        self._lock = threading.Lock()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*given: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*given, **named)
            start = time.perf_counter()
            self._inside.append(0.0)
            try:
                return function(*given, **named)
            finally:
                took = time.perf_counter() - start
                self.seconds[part] += took - self._inside.pop()
                self._within(took)

        return run

    def compiled(self, event: str, seconds: float, **_: Any) -> None:
        """What jax tells when it has traced, lowered or compiled a program. A trace inside another is told first."""
        if not event.startswith("/jax/core/compile/") or threading.current_thread() is not threading.main_thread():
            return
        start = time.perf_counter() - seconds
        inside = [entry for entry in self._compiled if entry[0] >= start]
        self._compiled = [entry for entry in self._compiled if entry[0] < start] + [(start, seconds)]
        more = seconds - sum(took for _, took in inside)
        self.seconds[COMPILING] += more
        self._within(more)

    def scored(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`Worker.call`, timed by job."""

        def call(worker: Worker, limit: float, answer: Any, cell: Cell, *settings: Any) -> Any:
            start = time.perf_counter()
            rows = function(worker, limit, answer, cell, *settings)
            with self._lock:
                self.jobs[cell.job] += time.perf_counter() - start
                self.cells[cell.job] += 1
            return rows

        return call

    def _within(self, seconds: float) -> None:
        if self._inside:
            self._inside[-1] += seconds


class Told(NamedTuple):
    """What the run's process tells."""

    seconds: Mapping[str, float]
    jobs: Mapping[str, float]
    cells: Mapping[str, int]
    host_mib: int | None
    device_mib: int | None


def profiled(words: Sequence[str], experiment: str, began: float) -> Told:
    """Runs the command in this process; `began` is when it was started, by the clock of the wall."""
    profile = Profile()
    profile.seconds[START] = time.time() - began
    stages = experiments.part(experiment, "stages").STAGES
    named = {name: f"the rest of the stage {name!r}" for name in stages}
    timed_stages = {name: stage._replace(run=profile.timed(named[name], stage.run)) for name, stage in stages.items()}
    jax.monitoring.register_event_duration_secs_listener(profile.compiled)
    with contextlib.ExitStack() as patched:
        for part, methods in PARTS.items():
            for kind, name in methods:
                timed = profile.timed(part, getattr(kind, name))
                patched.enter_context(mock.patch.object(kind, name, timed))
        patched.enter_context(mock.patch.dict(stages, timed_stages))
        for name in ("training_program", "losses_program"):
            program = functools.partial(_timed_program, profile, getattr(steps, name))
            patched.enter_context(mock.patch.object(steps, name, program))
        patched.enter_context(mock.patch.object(Worker, "call", profile.scored(Worker.call)))
        if profile.timed("outside of the stages", command.main)(["", *words]):
            raise UserError("The run ended with an error; it is told above.")
    return Told(profile.seconds, profile.jobs, profile.cells, *measuring.peaks())


def _timed_program(profile: Profile, program: Callable[..., Callable], *given: Any) -> Callable[..., Any]:
    return profile.timed(DISPATCH, program(*given))


def floor(settings: Any, gflop: float, gb: float) -> dict[str, float]:
    """Least seconds of the device's work and of t-SNE, by part, at so many GFLOP/s and GB/s."""
    train, spec, seconds = settings.train, settings.model, collections.Counter()
    analysed = analysed_epochs(train.epochs, settings.eval.every)
    for seed in settings.seeds:
        dataset = synthesise(settings.data, seed)
        size = dataset.vocabulary.size
        batches = TrainingBatches(dataset, train.batch_size, train.batch_unit, 1, seed)
        seconds["training"] += train.epochs * useful(spec, size, *counted(batches.epoch(1))) / gflop / 1e9
        weights = parameter_count(
            jax.eval_shape(functools.partial(initial_params, GPT2(spec, size)), jax.random.key(0))
        )
        seconds["AdamW"] += train.epochs * batches.steps * weights * BYTES_OF_A_WEIGHT / gb / 1e9
        for split, index in dataset.splits.items():
            passes = len(analysed) if split == REFERENCE else train.epochs + 1
            forward = useful(spec, size, *counted(reading_batches(dataset, index, ROWS)[0])) / 3
            seconds["reading states"] += passes * forward / gflop / 1e9
            if split != REFERENCE and "tsne" in settings.eval.jobs:
                pairs = len(analysed) * len(layer_names(spec.layers)) * len(index) ** 2
                operations = pairs * settings.eval.tsne_iterations * OPERATIONS_OF_A_PAIR
                seconds["t-SNE"] += operations / gflop / 1e9
    return dict(seconds)


def measure(file: str, keys: Sequence[str]) -> None:
    words = [f"--config={file}", *(f"--config.{key}" for key in keys)]
    settings = config.build(command.parse(command.flags_of(words)))
    if settings.experiment != "emergence":
        raise UserError(f"{file} is of the experiment {settings.experiment!r}; only 'emergence' is profiled.")
    gflop, gb = measuring.ceilings_of(measured := measuring.in_turns(measuring.ceilings(settings.model.compute_dtype)))
    with tempfile.TemporaryDirectory() as directory:
        began, start = time.time(), time.perf_counter()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            words.append(f"--workdir={directory}/run")
            told = process.submit(profiled, words, settings.experiment, began).result()
            wall = time.perf_counter() - start
    print(f"\n{' '.join(words[:-1])} on {jax.devices()[0].device_kind}: {wall:.1f} s;")
    host, device = measuring.mib(told.host_mib), measuring.mib(told.device_mib)
    print(f"peak memory: host {host} without the workers, device {device}")
    print(f"\n{'the main thread':46} seconds  share")
    parts = dict(told.seconds) | {"unexplained": wall - sum(told.seconds.values())}
    for part, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"{part:46} {seconds:7.1f}  {seconds / wall:5.1%}")
    print(f"\n{'the workers beside it':12} cells  seconds  a cell")
    for job, seconds in sorted(told.jobs.items(), key=lambda item: -item[1]):
        print(f"{job:21} {told.cells[job]:5}  {seconds:7.1f}  {seconds / told.cells[job]:6.2f}")
    least = floor(settings, gflop, gb)
    print(f"\nthe floor at {gflop:,.0f} GFLOP/s and {gb:,.1f} GB/s: {sum(least.values()):.1f} s of {wall:.1f} s")
    for part, seconds in least.items():
        print(f"{part:21} {seconds:8.2f}")
    facts = {"wall": wall, "parts": parts, "jobs": told.jobs, "cells": told.cells, "floor": least}
    facts |= {"words": words[:-1], "host_mib": told.host_mib, "device_mib": told.device_mib}
    measuring.tell("main_run", measured, **facts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("main_run", __doc__)
    parser.add_argument(
        "file", nargs="?", default="configs/synthetic.py:quick", metavar="FILE", help="its configuration"
    )
    parser.add_argument("keys", nargs="*", default=[], metavar="KEY=VALUE", help="what differs from the file")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()

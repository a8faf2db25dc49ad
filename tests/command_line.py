"""Runs the program as a user does, by a command in its own process; kills it; reads what it left."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 240  # seconds
CONFIG = ROOT / "configs" / "synthetic.py"

# Small enough to take seconds: 8 tasks, 2 blocks, 3 epochs, all of them analysed.
SMALL = {
    "data.number_of_tasks": 8,
    "data.hard_tasks": 2,
    "data.validation_tasks": 3,
    "data.max_distributions_per_task": 2,
    "data.number_of_distributions": 0,  # a free draw
    "data.validation_distributions": 0,
    "data.hard_distributions": 0,
    "data.instructions_per_distribution": 6,
    "data.validation_instructions_per_distribution": 2,
    "data.hard_instructions_per_distribution": 2,
    "data.mappings_per_task": 3,
    "data.task_vocabulary_size": 9,
    "data.instruction_vocabulary_size": 12,
    "data.max_characters": 5,
    "data.longest_instruction": 20,
    "model.layers": 2,
    "model.heads": 2,
    "model.hidden_dim": 16,
    "train.epochs": 3,
    "train.batch_size": 12,
    "train.learning_rate": 0.01,
    "eval.tsne_iterations": 250,
    "eval.tsne_perplexity": 3.0,
    "eval.null_draws": 2,
    "eval.kmeans_restarts": 2,
    "eval.workers": 1,  # each takes seconds to start; the tests of the evaluator have several
    "report.formats": ("png",),  # a PDF of every figure takes as long as all the rest of the report
    "report.explorer": False,  # megabytes of a library in every page
}

# jaxlib 0.10 has two emitters of loops, of which the older takes half the time; later versions end at a flag they lack.
OLDER_EMITTER = " --xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""
COMPILED = tempfile.TemporaryDirectory(prefix="clusterlm_jax-compiled-")  # removed when this process ends
# Compilation is most of a small run's time: in haste, and once for the runs that have the same shapes.
QUICK_TO_COMPILE = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0" + OLDER_EMITTER,
    "JAX_COMPILATION_CACHE_DIR": COMPILED.name,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def command(workdir: Path | str | None, *flags: str, small: bool = True) -> list[str]:
    """The command line of a run, with every flag of `SMALL` unless told otherwise."""
    where = [] if workdir is None else [f"--workdir={workdir}"]
    given = {flag.split("=")[0] for flag in flags}
    settings = [f"--config.{key}={value}" for key, value in SMALL.items() if f"--config.{key}" not in given]
    config = [] if "--config" in given else [f"--config={CONFIG}"]
    return [sys.executable, "-m", "clusterlm_jax.main", *config, *where, *(settings if small else []), *flags]


def run(
    workdir: Path | str | None, *flags: str, small: bool = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs to the end, with these variables added to the environment."""
    given, surroundings = command(workdir, *flags, small=small), environment() | variables
    return subprocess.run(given, cwd=ROOT, env=surroundings, capture_output=True, text=True)


def environment() -> dict[str, str]:
    return os.environ | {"JAX_PLATFORMS": "cpu"} | QUICK_TO_COMPILE


def start_together(given: Sequence[str], devices: int = 2) -> list[subprocess.Popen]:
    """Starts a command as two processes that train together, each with so many simulated devices."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    surroundings = environment() | {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "HF_HUB_OFFLINE": "1"}
    surroundings["XLA_FLAGS"] += f" --xla_force_host_platform_device_count={devices}"
    return [
        subprocess.Popen(
            [*given, "--distributed"],
            cwd=ROOT,
            env=surroundings | {"JAX_PROCESS_ID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]


def outputs(processes: Sequence[subprocess.Popen]) -> list[str]:
    """What processes that must succeed print, once all have ended."""
    try:
        told = [process.communicate(timeout=PATIENCE) for process in processes]
        assert not any(process.returncode for process in processes), told
    finally:
        for process in processes:
            process.kill()
    return [stdout for stdout, _ in told]


def kill_when(given: Sequence[str], ready: Callable[[], bool]) -> None:
    """Starts a command and ends it with SIGKILL as soon as `ready`; fails if it ends by itself before."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(given, cwd=ROOT, env=environment(), **quiet) as process:
        try:
            wait_until(ready, process)
        finally:
            process.kill()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, "the run ended before its moment came"
        assert time.monotonic() < end, "the moment never came"
        time.sleep(0.005)


def scores(workdir: Path) -> list[str]:
    return sorted((workdir / "scores.csv").read_text().splitlines())


def metrics(workdir: Path) -> str:
    return (workdir / "metrics.jsonl").read_text()


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0

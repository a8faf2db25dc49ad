"""What surrounds an experiment: versions and devices, wall times, room on the disk."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jax
from tqdm import tqdm

from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.records import UserError
from clusterlm_jax.workdir import WorkDir, append_jsonl, free_bytes

PACKAGES = (
    "jax", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "scikit-learn", "xeger", "ml_collections",
    "transformers",
)  # fmt: skip
GIB = 2**30


def record(workdir: WorkDir, precision: Mapping[str, str]) -> None:
    """Writes `env.json`: what the numbers of this run were made with; `precision` is that of the model's products."""
    devices = jax.devices()
    workdir.write_json(
        "env.json",
        {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
            "backend": devices[0].platform,
            "devices": [device.device_kind for device in devices],
            "precision": {**precision, "analysis": "float64 distances, float32 states"},
            "git_commit": _git_commit(),
        },
    )


@contextmanager
def timed(workdir: WorkDir, stage: str) -> Iterator[None]:
    """Adds the wall time of a stage, or of one of its epochs, in seconds, to `timings.jsonl` once it is done."""
    start = time.perf_counter()
    yield
    append_jsonl(workdir.timings, {"stage": stage, "seconds": round(time.perf_counter() - start, 3)})


def check_disk(workdir: WorkDir, needed: int, advice: str) -> None:
    """Says how much disk a run will take, and refuses to begin where there is less.

    Raises:
      UserError: naming both numbers, with what to do.
    """
    free = free_bytes(workdir.root)
    print(f"Up to {needed / GIB:.1f} GiB of disk are needed in {workdir.root}; {free / GIB:.1f} GiB are free.")
    if needed > free:
        raise UserError(
            f"The run needs up to {needed / GIB:.1f} GiB in {workdir.root}, "
            f"where {free / GIB:.1f} GiB are free: {advice}."
        )


def drain(evaluator: Evaluator) -> None:
    """Waits for the evaluator behind a progress bar."""
    with tqdm(
        total=evaluator.queued, initial=evaluator.finished, unit="cell", desc="analyse", dynamic_ncols=True
    ) as bar:

        def show(finished: int) -> None:
            bar.update(finished - bar.n)

        evaluator.drain(show)


def _git_commit() -> str | None:
    """The commit of this checkout; None outside of one."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()

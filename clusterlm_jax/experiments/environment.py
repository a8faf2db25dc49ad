"""What the numbers of a run are made with: versions, devices, precision."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from clusterlm_jax.records import UserError
from clusterlm_jax.workdir import WorkDir

PACKAGES = (
    "jax", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "scikit-learn", "xeger", "ml_collections",
    "transformers",
)  # fmt: skip


def record(workdir: WorkDir, precision: Mapping[str, str]) -> None:
    """Writes `env.json`: what the numbers of this run were made with; `precision` is that of the model's products."""
    workdir.write_json(
        "env.json", facts() | {"precision": {**precision, "analysis": "float64 distances, float32 states"}}
    )


def facts() -> dict[str, Any]:
    """The versions and devices of this process."""
    devices = jax.devices()
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "backend": devices[0].platform,
        "devices": [device.device_kind for device in devices],
        "git_commit": _git_commit(),
    }


def check_device(config: Any, workdir: WorkDir) -> None:
    """The check of a stage that computes on a device: refuses a JAX_PLATFORMS that this machine has no device of."""
    logger, told = logging.getLogger("jax._src.xla_bridge"), []

    def keep(record: logging.LogRecord) -> bool:  # why a plugin failed is logged with a traceback, and no error
        told.append(record)
        return False

    logger.addFilter(keep)
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # an assertion, without words, where jax has no such plugin
        reasons = (str(record.exc_info[1]) for record in told if record.exc_info)
        said = str(error).partition(" (set JAX_PLATFORMS")[0] or next(reasons, "no plugin for it")
        raise UserError(
            f"JAX_PLATFORMS is {jax.config.jax_platforms!r}, but jax finds no such device here: "
            f"{said.splitlines()[0].rstrip('.')}; set it to cpu, as launch/local.sh does, or unset it."
        ) from error
    finally:
        logger.removeFilter(keep)
    for record in told:
        logger.handle(record)


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

"""The launch scripts hand their flags on, and every command that is written down can be typed as it stands."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEFAULTS = ["--config=configs/synthetic.py:quick", "--workdir=runs/quick"]
# A python that prints what it is asked to run, a word a line.
ECHO = '#!/bin/sh\nprintf "%s\\n" "$@"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory whose .venv/bin/python only prints."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(ECHO)
    python.chmod(0o755)
    return tmp_path


def launched(checkout: Path, *flags: str) -> list[str]:
    """The flags that the main job gets of those given to launch/local.sh."""
    script = f'source "{ROOT}/launch/environment.sh"; main_job cpu configs/synthetic.py:quick runs/quick "$@"'
    given = ["bash", "-euc", script, "local.sh", *flags]
    result = subprocess.run(given, cwd=checkout, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()[2:]  # without -m clusterlm_jax.main


@pytest.mark.parametrize(
    ("flags", "added"),
    [
        ([], DEFAULTS),
        (["--config.seeds=(0, 1)"], DEFAULTS),
        (["--workdir=runs/mine"], DEFAULTS[:1]),
        (["--workdir", "runs/mine"], DEFAULTS[:1]),
        (["--config=configs/seeds.py:quick"], []),
        (["--config", "configs/seeds.py:quick"], []),
        (["-config", "configs/seeds.py:quick", "--workdir=runs/mine"], []),
        (["--workdir=a --config=b"], DEFAULTS[:1]),
        (["--help"], []),
        (["-h"], []),
        (["--config=configs/seeds.py", "--help"], []),
    ],
    ids=" ".join,
)
def test_the_defaults_hold_where_the_flags_name_none(checkout, flags, added):
    """Breaks if a configuration that is given after a space is added to the default one."""
    assert launched(checkout, *flags) == [*added, *flags]


WRITTEN = [
    *(ROOT / name for name in ("README.md", "WORKSPACE.md")),
    *(ROOT / "docs").glob("*.md"),
    *(path for folder in ("configs", "benchmarks", "clusterlm_jax") for path in (ROOT / folder).rglob("*.py")),
]


def test_commands_name_the_environment_that_the_launch_scripts_make():
    """`python -m clusterlm_jax.main` alone is a ModuleNotFoundError for whoever followed the first page."""
    bare = re.compile(r"(?<!\.venv/bin/)\bpython3? -m (?!venv)|^ *\$? *python3? \S+\.py", re.MULTILINE)
    found = {str(path.relative_to(ROOT)): bare.findall(path.read_text()) for path in WRITTEN}
    assert not {name: commands for name, commands in found.items() if commands}

"""Fixtures of the report's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from work_directories import write_run


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """A whole run of nine epochs and three blocks which agrees with the paper."""
    return write_run(tmp_path / "run")

"""JSON files that a person gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clusterlm_jax.records import UserError
from clusterlm_jax.workdir import read_json


def read_object(path: Path, form: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
      path: where it is.
      form: what it must hold, for a person.

    Raises:
      UserError: if the file is missing, empty, no JSON or no object.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; it must hold {form}.")
    if not path.stat().st_size:
        raise UserError(f"{path} is empty; it must hold {form}.")
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} holds a {type(found).__name__}; it must hold {form}.")
    return found

"""JSON files that the user supplies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clusterlm_jax.files import read_json
from clusterlm_jax.records import UserError


def read_object(path: Path, form: str) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Args:
      form: what the file must hold, in words for the error message.

    Raises:
      UserError: if the file is missing, is empty, or does not hold a JSON object.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; it must hold {form}.")
    if not path.stat().st_size:
        raise UserError(f"{path} is empty; it must hold {form}.")
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} holds a {type(found).__name__}; it must hold {form}.")
    return found

"""The work directory of a run: one process at a time, one configuration, nothing half-written."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clusterlm_jax.records import UserError, write_atomically

MAY_DIFFER = ("stages", "report.", "eval.workers", "eval.queue", "eval.retries", "eval.backend")


class WorkDir:
    """Paths and small files of a run. See DESIGN: `config.json`, `run.json`, `metrics.jsonl`, `scores.csv`..."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.checkpoints = self.root / "checkpoints"
        self.hidden = self.root / "hidden"
        self.embeddings = self.root / "embeddings"
        self.scores = self.root / "scores.csv"
        self.metrics = self.root / "metrics.jsonl"
        self.timings = self.root / "timings.jsonl"

    def dataset(self, seed: int) -> Path:
        """Where the dataset of a seed is."""
        return self.root / "dataset" / f"seed={seed}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for this process; the lock dies with it.

        Raises:
          UserError: if the directory cannot be made or written, or another process holds it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / ".lock").open("w")
        except OSError as error:
            raise UserError(f"The work directory {self.root} cannot be written: {error.strerror}.") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(f"Another process is working in {self.root}.") from error
            yield

    def claim(self, config: dict[str, Any]) -> None:
        """Makes the directory this configuration's.

        Raises:
          UserError: naming the differing keys, if it is another's.
        """
        path = self.root / "config.json"
        now = flatten(json.loads(json.dumps(config)))  # tuples as the file has them
        if path.exists():
            before = flatten(read_json(path))
            # Another job adds rows from the hidden states there are, so a run that keeps them may have it later.
            may_differ = (*MAY_DIFFER, "eval.jobs") if before.get("eval.keep_hidden") else MAY_DIFFER
            differing = [
                f"{key} (there {before.get(key, 'unset')!r}, now {now.get(key, 'unset')!r})"
                for key in sorted(before.keys() | now.keys())
                if before.get(key) != now.get(key) and not key.startswith(may_differ)
            ]
            if differing:
                raise UserError(
                    f"The work directory {self.root} belongs to another configuration; it differs in "
                    f"{', '.join(differing)}: choose another --workdir or give these values."
                )
        if not path.exists() or before != now:
            self.write_json("config.json", config)

    def write_json(self, name: str, value: Any) -> None:
        text = json.dumps(value, indent=1) + "\n"
        write_atomically(self.root / name, lambda path: path.write_text(text, encoding="utf-8"))

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the directory; empty where there is none."""
        return read_json(self.root / name)

    def update_run(self, **sections: Any) -> None:
        """Adds sections to `run.json`."""
        self.write_json("run.json", self.read_json("run.json") | sections)

    def metrics_rows(self) -> list[dict[str, Any]]:
        """The metrics of the epochs so far."""
        return read_jsonl(self.metrics)

    def rewind_metrics(self, run: str, epoch: int) -> None:
        """Keeps the metrics of a run up to an epoch; drops its later ones and a torn last line."""
        kept = [row for row in self.metrics_rows() if row["run"] != run or row["epoch"] <= epoch]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_atomically(self.metrics, lambda path: path.write_text(text, encoding="utf-8"))


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Adds one line, in one write."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """One JSON object a line; none where there is no file. A last line without its end was torn by a kill.

    Raises:
      UserError: naming the line that is damaged.
    """
    if not path.exists():
        return []
    *lines, _torn = path.read_text(encoding="utf-8").split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is damaged (line {number}: {error.msg}).") from error
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is no file.

    Raises:
      UserError: if it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged (line {error.lineno}: {error.msg}).") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from error


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'a': {'b': 1}} -> {'a.b': 1}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def free_bytes(path: Path) -> int:
    """Free space of the disk that holds `path`."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize

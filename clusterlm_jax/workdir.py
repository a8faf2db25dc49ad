"""The work directory of a run: one process at a time, one configuration, no file half-written."""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clusterlm_jax.records import UserError, write_atomically

# What changes no number of a run: which stages run, how figures look, where and how the cells are scored.
MAY_DIFFER = ("stages", "report.", "eval.workers", "eval.queue", "eval.backend")
# Keys that earlier versions had, with the value that is now built in: a run with this value may be resumed.
FORMER = {
    "eval.retries": 2,
    "train.steps_per_dispatch": 64,
    "pretrain.steps_per_dispatch": 64,
    "finetune.steps_per_dispatch": 64,
    "extract.bucket": 8,
}

MIB, GIB = 2**20, 2**30


class Busy(UserError):
    """Another process is working in the directory."""


class WorkDir:
    """Paths and small files of a run: `config.json`, `run.json`, `metrics.jsonl`, `scores.csv`... (WORKSPACE.md)."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.checkpoints = self.root / "checkpoints"
        self.hidden = self.root / "hidden"
        self.embeddings = self.root / "embeddings"
        self.scores = self.root / "scores.csv"
        self.metrics = self.root / "metrics.jsonl"
        self.timings = self.root / "timings.jsonl"

    def dataset(self, seed: int) -> Path:
        """The directory of a seed's dataset."""
        return self.root / "dataset" / f"seed={seed}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for this process. The system releases the lock when the process ends, even when killed.

        Raises:
          UserError: the directory cannot be made or written.
          Busy: another process holds it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / ".lock").open("w")
        except OSError as error:
            raise UserError(f"The work directory {self.root} cannot be written: {error.strerror}.") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(f"Another process is working in {self.root}.") from error
            yield

    def claim(self, config: dict[str, Any]) -> None:
        """Gives the directory to this configuration, if it has none yet or had one that gives the same numbers.

        Raises:
          UserError: it belongs to another configuration; naming the keys that differ.
        """
        path = self.root / "config.json"
        now = flatten(json.loads(json.dumps(config)))  # JSON has lists for tuples
        if path.exists():
            before = flatten(read_json(path))
            built_in = {key for key in before.keys() - now.keys() if key in FORMER and FORMER[key] == before[key]}
            # A new job reads hidden states that exist already, so a run that keeps them may get more jobs later.
            may_differ = (*MAY_DIFFER, "eval.jobs") if before.get("eval.keep_hidden") else MAY_DIFFER
            differing = [
                f"{key} (there {before.get(key, 'unset')!r}, now {now.get(key, 'unset')!r})"
                for key in sorted((before.keys() | now.keys()) - built_in)
                if before.get(key) != now.get(key) and not key.startswith(may_differ)
            ]
            if differing:
                raise UserError(
                    f"The work directory {self.root} belongs to another configuration; it differs in "
                    f"{', '.join(differing)}: choose another --workdir or give these values."
                )
        if not path.exists() or before != now:
            self.write_json("config.json", config)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the wall time of a stage, or of one of its epochs, in seconds, to `timings.jsonl` once it is done."""
        start = time.perf_counter()
        yield
        append_jsonl(self.timings, {"stage": stage, "seconds": round(time.perf_counter() - start, 3)})

    def check_disk(self, needed: int, advice: str) -> None:
        """Says how many bytes of disk a run will take, and refuses to begin if there are less.

        Raises:
          UserError: naming both numbers, with what to do.
        """
        free = free_bytes(self.root)
        print(f"Up to {size(needed)} of disk are needed in {self.root}; {size(free)} are free.")
        if needed > free:
            raise UserError(
                f"The run needs up to {size(needed)} in {self.root}, where {size(free)} are free: {advice}."
            )

    def write_json(self, name: str, value: Any) -> None:
        text = json.dumps(value, indent=1) + "\n"
        write_atomically(self.root / name, lambda path: path.write_text(text, encoding="utf-8"))

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the directory; empty if there is none."""
        return read_json(self.root / name)

    def update_run(self, **sections: Any) -> None:
        """Adds sections to `run.json`."""
        self.write_json("run.json", self.read_json("run.json") | sections)

    def metrics_rows(self) -> list[dict[str, Any]]:
        """The metrics of the epochs so far."""
        return read_jsonl(self.metrics)

    def rewind_metrics(self, run: str, epoch: int) -> None:
        """Keeps the metrics of a run up to an epoch. Drops later epochs, and a last line that a kill cut off."""
        kept = [row for row in self.metrics_rows() if row["run"] != run or row["epoch"] <= epoch]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_atomically(self.metrics, lambda path: path.write_text(text, encoding="utf-8"))


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Adds one line. It is one write, so a kill leaves at most this line incomplete."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line; empty if there is no file. A last line that a kill cut off is left out.

    Raises:
      UserError: naming the line that is damaged.
    """
    if not path.exists():
        return []
    *lines, _incomplete = path.read_text(encoding="utf-8").split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is damaged (line {number}: {error.msg}).") from error
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is no file.

    Raises:
      UserError: it cannot be read.
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


def size(count: int) -> str:
    """Bytes in words: "3.2 GiB", or "13 MiB" where it is less than one."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{math.ceil(count / MIB)} MiB"


def free_bytes(path: Path) -> int:
    """Free bytes of the disk that holds `path`."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize

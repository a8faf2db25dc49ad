"""The work directory of a run: one process at a time, one configuration, no file half-written."""

from __future__ import annotations

import fcntl
import itertools
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clusterlm_jax.files import append_jsonl, read_json, read_jsonl
from clusterlm_jax.records import UserError, write_atomically

# What changes no number of a run: which stages run, how figures look, which and how many processes score the cells.
MAY_DIFFER = ("stages", "report.", "eval.workers", "eval.scheduler", "eval.queue", "eval.cell_minutes")
# Keys that earlier versions had, with the value that is now built in: a run with this value may be resumed.
FORMER = {
    "eval.retries": 2,
    "train.steps_per_dispatch": 64,
    "pretrain.steps_per_dispatch": 64,
    "finetune.steps_per_dispatch": 64,
    "extract.bucket": 8,
}
# Keys that earlier versions lacked, with the value for what these did.
LATER = {"data.hard_must_leave_expression": False}

# What is remade in seconds. A directory with nothing else in it belongs to no configuration yet.
REMADE = ("config.json", "env.json", "run.json", "timings.jsonl")
GROWING = ("checkpoints", "hidden", "embeddings")  # made early; nothing is lost with them while they hold no file

MIB, GIB = 2**20, 2**30


class Busy(UserError):
    """Another process is working in the directory."""

    WORDS = "Another process is working in"


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
        self._made: list[Path] = []

    def dataset(self, seed: int) -> Path:
        """The directory of a seed's dataset."""
        return self.root / "dataset" / f"seed={seed}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for this process. The system releases the lock when the process ends, even when killed.

        What fails inside before anything worth keeping is there leaves the directory as it was.

        Raises:
          UserError: the directory cannot be made or written.
          Busy: another process holds it.
        """
        try:
            self._made += [path for path in (self.root, *self.root.parents) if not path.exists()]
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / ".lock").open("w")
        except OSError as error:
            raise UserError(f"The work directory {self.root} cannot be written: {error.strerror}.") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(f"{Busy.WORDS} {self.root}.") from error
            with self.undone_if_refused():
                yield

    @contextmanager
    def copied(self) -> Iterator[WorkDir]:
        """A copy in a temporary directory, for a process that follows the one that holds this directory.

        What it writes there is nobody's. It shares the checkpoints, which all processes write together, and the hidden
        states, which it only reads.

        Raises:
          UserError: the directory is not there, so the other process has it on a disk that is not shared.
        """
        if not (self.root / "config.json").exists():
            raise UserError(f"The work directory {self.root} is not here; all processes need one that they share.")
        with tempfile.TemporaryDirectory() as name:
            own = WorkDir(Path(name))
            _copy((path for path in self._entries() if path.is_file() or path.name == "dataset"), own.root)
            own.checkpoints, own.hidden = self.checkpoints, self.hidden
            yield own

    @contextmanager
    def undone_if_refused(self) -> Iterator[None]:
        """Leaves the directory as it was if what runs inside fails before anything worth keeping is added."""
        before, kept = self._entries(), self._worth_keeping()
        with tempfile.TemporaryDirectory() as name:
            # Files of a run are set aside where a claim may replace them. Without a `config.json` they are no run's.
            aside = Path(name)
            replaceable = before if not kept and self.root / "config.json" in before else set()
            _copy(replaceable, aside)
            try:
                yield
            except Exception:
                if self._worth_keeping() <= kept:
                    _remove(self._entries() - (before - replaceable))
                    _copy(aside.iterdir(), self.root)
                raise
            finally:
                if self.root.is_dir() and not self._entries():
                    (self.root / ".lock").unlink(missing_ok=True)
                    while self._made and not any(self._made[0].iterdir()):
                        self._made.pop(0).rmdir()

    def _entries(self) -> set[Path]:
        """All that is in the directory, but for the lock."""
        return {path for path in self.root.iterdir() if path.name != ".lock"} if self.root.is_dir() else set()

    def _worth_keeping(self) -> set[Path]:
        """What is there that is not remade in seconds: metrics, scores, hidden states, a report, the user's files..."""

        def remade(path: Path) -> bool:
            if path.name in GROWING:
                return path.is_dir() and not any(map(Path.is_file, path.rglob("*")))
            if path.name == "dataset":
                return path.is_dir() and all(child.name.startswith("seed=") for child in path.iterdir())
            return path.name in REMADE or re.fullmatch(r"\..*\.tmp", path.name) is not None

        return {path for path in self._entries() if not remade(path)}

    def claim(self, config: dict[str, Any]) -> None:
        """Gives the directory to this configuration, if it has none yet or had one that gives the same numbers.

        With `eval.backend` "auto" a directory keeps the backend it has, so that no run mixes them unasked.
        Where a training diverged, its keys may differ: `config.json` stays until that training begins again.

        Raises:
          UserError: it belongs to another configuration; naming the keys that differ.
        """
        path = self.root / "config.json"
        now = flatten(json.loads(json.dumps(config)))  # JSON has lists for tuples
        if path.exists():
            before = {key: value for key, value in LATER.items() if key in now} | flatten(read_json(path))
            if now.get("eval.backend") == "auto" and self._worth_keeping():
                now["eval.backend"] = before.get("eval.backend", "sklearn")
                config = config | {"eval": config["eval"] | {"backend": now["eval.backend"]}}
            built_in = {key for key in before.keys() - now.keys() if key in FORMER and FORMER[key] == before[key]}
            # A new job reads hidden states that exist already, so a run that keeps them may get more jobs later.
            may_differ = (*MAY_DIFFER, "eval.jobs") if before.get("eval.keep_hidden") else MAY_DIFFER
            every = sorted((before.keys() | now.keys()) - built_in)
            differing = [key for key in every if before.get(key) != now.get(key) and not key.startswith(may_differ)]
            if differing and not self._worth_keeping():
                _remove(self._entries())
            elif differing and all(key.partition(".")[0] in self.diverged() for key in differing):
                return
            elif differing:
                values = [f"{k} (there {before.get(k, 'unset')!r}, now {now.get(k, 'unset')!r})" for k in differing]
                raise UserError(
                    f"The work directory {self.root} belongs to another configuration; it differs in "
                    f"{', '.join(values[:5])}{f' and {len(values) - 5} more keys' if len(values) > 5 else ''}: "
                    "choose another --workdir or give these values."
                )
        elif self.metrics.exists() or self.scores.exists():
            raise UserError(
                f"{self.root} holds results, but no config.json that says of what: choose another --workdir."
            )
        if not path.exists() or before != now:
            self.write_json("config.json", config)

    def diverged(self) -> set[str]:
        """The sections of the configuration whose trainings diverged, and have not begun again since."""
        phases = self.read_json("run.json").get("phases", {}).values()
        return {facts["diverged"] for facts in phases if facts.get("diverged")}

    def begin_again(self, run: str, section: str, config: dict[str, Any]) -> None:
        """Where trainings of a section diverged and have other keys now: drops this one and all that came after it.

        Their scores go once they are trained anew. Killed in between, it does all of it once more: `config.json` comes
        last, and until then they count as diverged.
        """
        now, before = json.loads(json.dumps(config)), self.read_json("config.json")
        if section not in self.diverged() or before.get(section) == now[section]:
            return
        known = self.read_json("run.json")["phases"]
        runs = list(itertools.dropwhile(lambda name: name != run, known))
        self.update_run(phases=known | {name: {"trained": -1, "diverged": section} for name in runs})
        self._write_metrics(row for row in read_jsonl(self.metrics) if row["run"] not in runs)
        for directory in (self.checkpoints, self.hidden, self.embeddings):
            for name in runs:
                shutil.rmtree(directory / name, ignore_errors=True)
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
        large = self.hidden.parent  # of a copy, the directory that it shares
        free = free_bytes(large)
        print(f"Up to {size(needed)} of disk are needed in {large}; {size(free)} are free.")
        if needed > free:
            raise UserError(f"The run needs up to {size(needed)} in {large}, where {size(free)} are free: {advice}.")

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
        """The metrics of the epochs so far.

        Raises:
          UserError: the file is damaged, or lacks an epoch that `run.json` tells of.
        """
        rows = read_jsonl(self.metrics)
        there = {(row["run"], str(row["seed"]), row["epoch"]) for row in rows}
        for run, facts in self.read_json("run.json").get("phases", {}).items():
            for seed, best in facts.get("best", {}).items():
                # Earlier versions did not write down how many epochs were trained.
                for epoch in range(facts.get("trained", best["epoch"]) + 1):
                    if (run, seed, epoch) not in there:
                        raise UserError(
                            f"{self.metrics} is damaged (it lacks epoch {epoch} of {run}, seed {seed}): put the whole "
                            "file back, or choose another --workdir."
                        )
        return rows

    def rewind_metrics(self, run: str, epoch: int) -> None:
        """Keeps the metrics of a run up to an epoch. Drops later epochs, and a last line that a kill cut off."""
        self._write_metrics([row for row in self.metrics_rows() if row["run"] != run or row["epoch"] <= epoch])

    def _write_metrics(self, rows: Iterable[dict[str, Any]]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(self.metrics, lambda path: path.write_text(text, encoding="utf-8"))


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _copy(paths: Iterable[Path], into: Path) -> None:
    for path in paths:
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, into / path.name)


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

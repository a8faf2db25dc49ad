"""Tiny runs of every experiment, which take seconds, are harmed at a moment, and are compared with undisturbed ones."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clusterlm_jax.data.natural.prompts import NaturalSpec, compose
from tests.command_line import ROOT, SMALL, environment
from tests.experiments.causal import toy
from tests.extraction import tiny_tokenizer

NAME = "run"  # of every work directory, as tables have it
PATIENCE = 1800  # seconds for a run, which takes as many as a busy machine lets it
KEPT = (
    "scores.csv",
    "metrics.jsonl",
    "effects.jsonl",
    "tasks.jsonl",
    "tables/*.csv",
    "dataset/**/*",
    "embeddings/**/*",
)
STAGE = re.compile(r"(?:^|[\r\n])([\w/ ]+): +(\d+)%")  # of a progress bar
Rows = collections.Counter[tuple[str, str]]  # (file, line) -> how often

ANALYSED = {key: value for key, value in SMALL.items() if key.startswith(("eval.", "report."))}
ANALYSED |= {"eval.jobs": ("raw", "tsne"), "eval.kmeans_restarts": 1, "eval.null_draws": 1, "report.formats": ()}
MODEL = {key: value for key, value in SMALL.items() if key.startswith(("data.", "model."))} | {"model.layers": 1}
TRAINED = {"epochs": 2, "batch_size": 6, "learning_rate": 0.02}
FLAGS: dict[str, dict[str, Any]] = {
    "emergence": {**MODEL, **ANALYSED, "eval.every": 2, **{f"train.{key}": value for key, value in TRAINED.items()}},
    "pretraining": {
        **MODEL,
        **ANALYSED,
        "eval.jobs": ("raw",),
        "eval.every": 2,
        **{f"{section}.{key}": value for section in ("pretrain", "train") for key, value in TRAINED.items()},
    },
    "alignment": {
        **MODEL,
        "report.formats": (),
        "data.hard_tasks": 0,
        "data.source_target_pairs": 2,
        "data.task_vocabulary_size": 12,
        **{f"{section}.{key}": value for section in ("train", "finetune") for key, value in TRAINED.items()},
        "switch.examples": (1, 2),
        "switch.steps": 20,
    },
    "probing": {
        **ANALYSED,
        "data.wordings_per_task": 2,
        "data.mappings_per_task": 3,
        "extract.shard": 10,
        "extract.batch_tokens": 64,
        "extract.compute_dtype": "float32",
        "extract.random_weights": True,
    },
    "states": ANALYSED | {"eval.jobs": ("raw", "tsne", "knn")},
    "causal": {"strengths": (1.0,), "ranks": (1, 3), "draws": 1, "symbols": (1, 64), "eval.kmeans_restarts": 1},
    "grid": {**MODEL, **ANALYSED, "eval.jobs": ("raw",), "train.epochs": 1, "train.batch_size": 12},
}
FLAGS["causal"]["report.formats"] = ()
FLAGS["grid"]["grid"] = ({"model.hidden_dim": [8, 16]},)
PAGES = {"emergence": "synthetic", "grid": "synthetic"}  # in configs/; else of the experiment's own name


def flags_of(experiment: str, inputs: Path) -> tuple[str, ...]:
    """The command line of a tiny run; what it reads is made in `inputs` when it is not there yet."""
    given = {
        "probing": {"checkpoint": inputs / "checkpoint"},
        "states": {"states": inputs / "states.npz"},
        "causal": {"run": inputs / "run"},
    }.get(experiment, {})
    for name, path in given.items():
        if not path.exists():
            {"checkpoint": _checkpoint, "states": _states, "run": toy.write_run}[name](path)
    page = f"--config=configs/{PAGES.get(experiment, experiment)}.py"
    return (page, *(f"--config.{key}={value}" for key, value in (FLAGS[experiment] | given).items()))


def _checkpoint(directory: Path) -> None:
    """A LLaMA without weights, which are drawn at random."""
    from transformers import LlamaConfig

    directory.mkdir(parents=True)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4}
    vocabulary = tiny_tokenizer.save(directory, compose(NaturalSpec(), seed=0).texts)
    LlamaConfig(vocab_size=vocabulary, **sizes).save_pretrained(directory)


def _states(path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {"task": np.repeat(np.arange(5), 12), "input": np.tile(np.arange(4), 15)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, hidden=rng.normal(size=(3, 60, 8)), train=np.arange(60) % 2 == 0, **labels)


def rows_of(workdir: Path) -> Rows:
    """Every line of what a run leaves, and the SHA-256 of what has no lines; of a grid, of all its points."""
    found: Rows = collections.Counter()
    for root in {path.parent for path in workdir.rglob("config.json")}:
        for path in {path for kept in KEPT for path in root.glob(kept) if path.is_file()}:
            content, name = path.read_bytes(), str(path.relative_to(workdir))
            lines = [hashlib.sha256(content).hexdigest()] if path.suffix == ".npz" else content.decode().splitlines()
            found.update((name, line) for line in lines)
    return found


class NotSurvived(Exception):
    """A run ended otherwise than it should, or left something else."""


class Attempt:
    """A command under way, as a user starts it."""

    def __init__(self, workdir: Path, flags: tuple[str, ...]) -> None:
        # Not on the disk of the work directory, which may be full.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this object
        weakref.finalize(self, self._log.close)
        given = [sys.executable, "-m", "clusterlm_jax.main", f"--workdir={workdir}", *flags]
        surroundings = environment() | {"HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            given, cwd=ROOT, env=surroundings, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is not None

    def end(self) -> int:
        """Waits; the exit code. A run that does not end is killed, which counts as an error."""
        if not self.ends_within(PATIENCE):
            self.kill()
        return self.process.wait()

    def workers(self) -> list[int]:
        """The processes that it started."""
        found = []
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        return found

    def kill(self, alone: bool = False) -> None:
        """SIGKILL for its process, and unless `alone` for its workers, which otherwise notice and end by themselves."""
        for pid in [] if alone else self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    @property
    def told(self) -> str:
        """All that it has told so far. (Read at a place: the process writes at the file's own.)"""
        return os.pread(self._log.fileno(), 2**30, 0).decode(errors="replace")

    @property
    def stage(self) -> str:
        """What it was at, by its progress bars: one of them, before the first, or after one."""
        bars = STAGE.findall(self.told)
        if not bars:
            return "start, data"
        name, share = bars[-1]
        return f"after {name.strip()}" if share == "100" else name.strip()


class Trial:
    """A work directory that is harmed at a moment of a run's time, and what is left in the end.

    Args:
      clean: what an undisturbed run leaves.
      seconds: how long it takes.
    """

    def __init__(
        self, workdir: Path, flags: tuple[str, ...], clean: Rows, seconds: float, rng: np.random.Generator
    ) -> None:
        self.workdir, self.flags, self.clean, self.rng, self._seconds = workdir, flags, clean, rng, seconds

    def start(self, *flags: str) -> Attempt:
        return Attempt(self.workdir, (*self.flags, *flags))

    def moment(self) -> float:
        return float(self.rng.uniform(0, self._seconds))

    def harmed(self) -> Attempt | None:
        """An attempt at a random moment of its time; None where it ended before, without an error."""
        attempt = self.start()
        if attempt.ends_within(self.moment()):
            check_end(attempt, {0})
            return None
        return attempt

    def finish(self) -> tuple[int, int]:
        """Lets the same command come to its end; rows of an undisturbed run that are lost, and rows that it lacks."""
        check_end(self.start(), {0})
        left = rows_of(self.workdir)
        return (self.clean - left).total(), (left - self.clean).total()


def check_end(attempt: Attempt, allowed: set[int]) -> None:
    """Raises `NotSurvived` for another exit code, a traceback, or an end without a sentence."""
    code, told = attempt.end(), attempt.told
    sentence = (told.strip().splitlines() or [""])[-1]
    if code not in allowed or "Traceback" in told or (code and not sentence.startswith("clusterlm_jax: ")):
        raise NotSurvived(f"It ended with {code}, having told:\n{told[-3000:]}")


def undisturbed(workdir: Path, flags: tuple[str, ...]) -> tuple[Rows, float]:
    """What a run leaves, and its seconds; the second of two runs, the first of which compiles.

    Raises:
      NotSurvived: one of them failed, or they differ.
    """
    left, seconds = [], 0.0
    for name in ("first", "second"):
        begun = time.perf_counter()
        check_end(Attempt(workdir / name / NAME, flags), {0})
        seconds = time.perf_counter() - begun
        left.append(rows_of(workdir / name / NAME))
    if left[0] != left[1]:
        raise NotSurvived(f"Two undisturbed runs differ in {list(left[0] - left[1])[:3]}.")
    return left[1], seconds


def table(header: tuple[str, ...], rows: Mapping[tuple[str, ...], Any]) -> str:
    """Markdown: names on the left, the last column the value."""
    lines = [" | ".join(header), " | ".join("---" for _ in header)]
    lines += [" | ".join((*names, str(value))) for names, value in rows.items()]
    return "\n".join(f"| {line} |" for line in lines)

"""Breaks tiny runs at random moments, starts them again until they end, and compares what they leave.

    .venv/bin/python -m trials.faults

First runs of every experiment are killed, KILLS times in all; then each other fault is tried TRIES times. Whatever
happens, the rows, metrics and tables must be those of an undisturbed run: the exit code is 1 where one is not.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import command_line
from clusterlm_jax.preemption import START_AGAIN
from trials.runs import FLAGS, NAME, Attempt, NotSurvived, Trial, check_end, flags_of, rows_of, table, undisturbed

DISK = "64m"  # of a tiny run's own disk
YEAR = 365 * 86400
MINUTES = 2  # for a cell, where a worker hangs; a busy machine takes one to start a worker


def kill(trial: Trial) -> str | None:
    """The run, and for half of the kills its workers too; the others notice that it is gone."""
    attempt = trial.harmed()
    if attempt is None:
        return None
    stage = attempt.stage
    attempt.kill(alone=bool(trial.rng.integers(2)))
    return stage


def terminate(trial: Trial) -> None:
    """SIGTERM, as a machine that is taken away sends it."""
    if attempt := trial.harmed():
        attempt.process.terminate()
        if attempt.end() != -signal.SIGTERM:  # as before its first line has run, and after its last
            check_end(attempt, {START_AGAIN, 0})


def kill_worker(trial: Trial) -> None:
    """As the system does when memory is short; the run itself goes on."""
    _strike_workers(trial.start(), trial.moment(), signal.SIGKILL)


def stop_worker(trial: Trial) -> None:
    """It hangs; the run itself goes on."""
    _strike_workers(trial.start(f"--config.eval.cell_minutes={MINUTES}"), trial.moment(), signal.SIGSTOP)


def _strike_workers(attempt: Attempt, moment: float, number: signal.Signals) -> None:
    if not attempt.ends_within(moment):
        for pid in attempt.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    check_end(attempt, {0})


def fill_disk(trial: Trial) -> None:
    """Every byte of it, until the run has ended; with a little left at the end of files that are there."""
    if attempt := trial.harmed():
        filler = trial.workdir.parent.parent / "filler"  # the disk itself: the run may not have made its directory yet
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        check_end(attempt, {2, 0})
        filler.unlink()


def write_protect(trial: Trial) -> None:
    """The disk, of a run that was killed: it says so, and goes on once it may write."""
    if attempt := trial.harmed():
        attempt.kill()
    disk = trial.workdir.parent.parent
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    before = rows_of(trial.workdir)
    attempt = Attempt(trial.workdir, trial.flags)
    check_end(attempt, {2})
    if rows_of(trial.workdir) != before:
        raise NotSurvived("Rows changed on a disk that cannot be written.")
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def start_twice(trial: Trial) -> None:
    """A second process in the same directory is refused, and the first goes on."""
    attempt = trial.start()
    if not attempt.ends_within(trial.moment()) and (trial.workdir / "config.json").exists():
        second = Attempt(trial.workdir, trial.flags)
        check_end(second, {2, 0})  # 0 where the first ended before it began
    check_end(attempt, {0})


def set_clock_back(trial: Trial) -> None:
    """After a kill every file is of a year later than now."""
    kill(trial)
    later = time.time() + YEAR
    for path in [trial.workdir, *trial.workdir.rglob("*")]:
        # A worker that has not noticed yet that the run is gone may rename its last file.
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, (later, later))


def cut_rows(trial: Trial) -> None:
    """After a kill files of rows end in the middle of a line, as where a machine lost its power.

    A last cell of scores is dropped and scored again. Where that cannot be, the run is refused until they are put back.
    """
    kill(trial)
    paths = [trial.workdir / name for name in ("metrics.jsonl", "timings.jsonl", "scores.csv")]
    whole = {path: path.read_bytes() for path in paths if path.exists()}
    for path, content in ((path, content) for path, content in whole.items() if content):  # empty: killed before a row
        last = content.splitlines()[-1]
        path.write_bytes(content[: -int(trial.rng.integers(1, len(last)))])
    attempt = trial.start()
    check_end(attempt, {0, 2})
    if attempt.end() == 2:
        for path, content in whole.items():
            path.write_bytes(content)


def flip_checkpoint(trial: Trial) -> None:
    """A bit of the largest file of the newest checkpoint, after a kill: the run goes on from the one before."""
    kill(trial)
    for last in trial.workdir.glob("checkpoints/**/last"):
        steps = sorted((path for path in last.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
        files = [path for path in steps[-1].rglob("*") if path.is_file()] if len(steps) > 1 else []
        if files:
            _flip(max(files, key=lambda path: path.stat().st_size), trial.rng)


def flip_states(trial: Trial) -> None:
    """A bit of hidden states that wait to be scored: the cell is named, and scored once they are put back."""
    unscored = Attempt(trial.workdir, (*trial.flags, "--config.stages=('data', 'train')"))
    check_end(unscored, {0})
    path = trial.rng.choice(sorted(trial.workdir.glob("hidden/**/validation/*.npy")))
    content = path.read_bytes()
    _flip(path, trial.rng)
    attempt = trial.start()
    check_end(attempt, {2})
    if str(path) not in attempt.told:
        raise NotSurvived(f"It does not name {path}, but tells:\n{attempt.told[-2000:]}")
    path.write_bytes(content)


def _flip(path: Path, rng: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


# What is tried, and of which experiments.
OTHERS: dict[str, tuple[Callable[[Trial], None], tuple[str, ...]]] = {
    "SIGTERM": (terminate, ("emergence", "pretraining", "probing")),
    "a worker is killed": (kill_worker, ("emergence", "states")),
    "a worker hangs": (stop_worker, ("emergence", "states")),
    "the disk is full": (fill_disk, ("emergence", "alignment", "probing", "causal")),
    "the disk cannot be written": (write_protect, ("emergence",)),
    "a second process in the directory": (start_twice, ("emergence",)),
    "the clock is set back": (set_clock_back, ("emergence",)),
    "files of rows are cut off": (cut_rows, ("emergence", "alignment")),
    "a bit of the newest checkpoint is flipped": (flip_checkpoint, ("emergence", "pretraining")),
    "a bit of hidden states is flipped": (flip_states, ("emergence",)),
}
ON_A_DISK = (fill_disk, write_protect)


class Campaign:
    """Undisturbed runs, made when they are first compared with, and what came of the faults so far."""

    def __init__(self, place: Path, seed: int) -> None:
        self._place, self._rng = place, np.random.default_rng(seed)
        self._clean: dict[str, tuple] = {}
        self._number = 0
        self.stages: collections.Counter[tuple[str, str]] = collections.Counter()
        self.tried: collections.Counter[tuple[str, str]] = collections.Counter()
        self.lost = self.changed = 0
        self.failures: list[str] = []

    def trial(self, experiment: str, root: Path) -> Trial:
        flags = flags_of(experiment, self._place / "inputs")
        if experiment not in self._clean:
            self._clean[experiment] = undisturbed(self._place / f"clean-{experiment}", flags)
        self._number += 1
        return Trial(root / str(self._number) / NAME, flags, *self._clean[experiment], self._rng)

    def kills(self, experiment: str, most: int) -> int:
        """Kills one run until it ends by itself, or so often; how often it was."""
        trial, count = self.trial(experiment, self._place), 0
        with self._noted(experiment, "kill"):
            while count < most and (stage := kill(trial)) is not None:
                self.stages[experiment, stage] += 1
                count += 1
            self._compare(trial)
        return count

    def other(self, fault: str, experiment: str) -> None:
        strike = OTHERS[fault][0]
        with self._noted(experiment, fault), contextlib.ExitStack() as held:
            root = held.enter_context(_disk(self._place / "disk")) if strike in ON_A_DISK else self._place
            trial = self.trial(experiment, root)
            self.tried[fault, experiment] += 1
            strike(trial)
            self._compare(trial)

    @contextlib.contextmanager
    def _noted(self, experiment: str, fault: str) -> Iterator[None]:
        try:
            yield
        except NotSurvived as error:
            self.failures.append(f"{fault}, {experiment}, run {self._number}: {error}")
            tqdm.write(self.failures[-1], file=sys.stderr)

    def _compare(self, trial: Trial) -> None:
        lost, changed = trial.finish()
        self.lost, self.changed = self.lost + lost, self.changed + changed
        if lost or changed:
            raise NotSurvived(f"{trial.workdir} lacks {lost} rows and has {changed} others.")


@contextlib.contextmanager
def _disk(place: Path) -> Iterator[Path]:
    """A small disk in memory, which takes a machine's administrator."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def campaign(kills: int, tries: int, seed: int, experiments: Sequence[str], place: Path | None) -> int:
    """Tries everything, prints tables; the exit code."""
    faults = [name for name, (strike, _) in OTHERS.items() if os.geteuid() == 0 or strike not in ON_A_DISK]
    others = [(name, e) for name in faults for e in OTHERS[name][1] if e in experiments]
    with contextlib.ExitStack() as held:
        root = place or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="clusterlm_jax-faults-")))
        root.mkdir(parents=True, exist_ok=True)
        it = Campaign(root, seed)
        try:
            with tqdm(total=kills + tries * len(others), unit="fault", dynamic_ncols=True) as bar:
                left, turn = kills, 0
                while left and len(it.failures) < kills:
                    done = it.kills(experiments[turn % len(experiments)], left)
                    left, turn = left - done, turn + 1
                    bar.update(done)
                for fault, experiment in others * tries:
                    it.other(fault, experiment)
                    bar.update()
        finally:  # what was tried until an interrupt is worth telling
            tell(it)
    if len(faults) < len(OTHERS):
        print("Not tried, as they need the right to mount a disk: " + ", ".join(OTHERS.keys() - set(faults)) + ".")
    return int(bool(it.failures))


def tell(it: Campaign) -> None:
    """Prints tables of what was tried, and what came of it."""
    print(table(("experiment", "killed at", "kills"), dict(sorted(it.stages.items()))), end="\n\n")
    print(table(("fault", "experiment", "tried"), dict(it.tried)), end="\n\n")
    total = sum(it.stages.values()) + sum(it.tried.values())
    print(
        f"Faults tried: {total}, {sum(it.stages.values())} of them kills. Not survived: {len(it.failures)}. "
        f"Rows lost: {it.lost}. Rows changed: {it.changed}."
    )


def experiment(text: str) -> str:
    if text not in FLAGS:
        raise argparse.ArgumentTypeError(f"{text!r} is no experiment; allowed: {', '.join(FLAGS)}")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_line.parser("faults", __doc__)
    parser.prog = ".venv/bin/python -m trials.faults"
    parser.add_argument("--kills", type=int, default=100, help="of runs, over all experiments")
    parser.add_argument("--tries", type=int, default=2, help="of each other fault, with each of its experiments")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--experiments", type=experiment, nargs="+", default=list(FLAGS), help="to break")
    parser.add_argument("--place", type=Path, help="a directory that keeps the runs; by default they are removed")
    return campaign(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())

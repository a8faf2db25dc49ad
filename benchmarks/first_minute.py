"""What a user waits for: help, a misspelt key, a page drawn again, an epoch of training; on request the quick run.

    .venv/bin/python -m benchmarks.first_minute [RUN] [--quick]

RUN is the directory of a finished quick run (`launch/local.sh` leaves runs/quick), whose page is drawn again in a copy.
Training is measured up to the end of its first epoch, where nothing is compiled yet and where a run before left its
programs. Every command is a process of its own; they take turns. `--quick` instead times one whole quick run in a new
directory: to its first figure, and to its end.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import command_line, measuring
from benchmarks.measuring import Measured
from clusterlm_jax.records import UserError

ROOT = Path(__file__).parents[1]
QUICK = f"--config={ROOT / 'configs' / 'synthetic.py'}:quick"
ONE_EPOCH = "--config.stages=('data', 'train')", "--config.train.epochs=1", "--config.eval.every=1"
PLACE = "JAX_COMPILATION_CACHE_DIR"


def start(*words: str, **variables: str) -> subprocess.Popen:
    """A command of the program under way, silent."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    return subprocess.Popen([sys.executable, "-m", "clusterlm_jax.main", *words], env=os.environ | variables, **quiet)


def ended(process: subprocess.Popen, code: int = 0) -> int:
    """Waits for it; its peak memory in MiB.

    Raises:
      UserError: it ended with another exit code.
    """
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        raise UserError(f"{' '.join(map(str, process.args))} ended with {process.returncode}; it must be {code}")
    return usage.ru_maxrss // (1024 if sys.platform == "linux" else measuring.MIB)


def in_turns(commands: Mapping[str, Sequence[str]], fresh: Path) -> dict[str, Measured]:
    """Times each command; `fresh` holds what a command needs new at every turn."""
    seconds, peak = {name: [] for name in commands}, dict.fromkeys(commands, 0)
    for turn in range(measuring.REPEATS + 1):  # the first one fills the caches
        for name, words in commands.items():
            shutil.rmtree(fresh, ignore_errors=True)
            variables = {PLACE: str(fresh / "compiled")} if "cold" in name else {}
            begun = time.perf_counter()
            code = 2 if "misspelt" in name else 0
            peak[name] = max(peak[name], ended(start(*words, **variables), code))
            seconds[name] += [time.perf_counter() - begun] * (turn > 0)
    return {name: Measured(statistics.median(of), tuple(of), peak[name], None) for name, of in seconds.items()}


def whole_run(place: Path) -> dict[str, Measured]:
    """One quick run; how long until its first figure is there, and until it ends."""
    begun, first = time.perf_counter(), None
    process = start(QUICK, f"--workdir={place}")
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if first is None and any(place.glob("figures/*.png")):
            first = time.perf_counter() - begun
        time.sleep(0.05)
    peak = ended(process)
    seconds = {"to the first figure": first, "to its end": time.perf_counter() - begun}
    return {f"quick run, {name}": Measured(of, (of,), peak, None) for name, of in seconds.items() if of is not None}


def measure(run: Path, quick: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="clusterlm_jax-benchmark-") as name:
        place = Path(name)
        if quick:
            measured = whole_run(place / "run")
        else:
            if not (run / "report.html").is_file():
                raise UserError(f"{run} has no page to draw again; give the directory of a finished quick run")
            copy, fresh = place / "run", place / "fresh"
            shutil.copytree(run, copy, ignore=shutil.ignore_patterns("checkpoints", "hidden", ".lock"))
            trained = QUICK, f"--workdir={fresh / 'run'}", *ONE_EPOCH
            commands = {
                "--help": ["--help"],
                "a misspelt key": [QUICK, "--config.eval.worker=2"],
                "a page drawn again": [QUICK, f"--workdir={copy}", "--config.stages=('report',)"],
                "an epoch trained, cold": trained,
                "an epoch trained, warm": trained,
            }
            measured = in_turns(commands, fresh)
        for name, of in measured.items():
            print(f"{name:32} {of.seconds:7.2f} s   peak memory {measuring.mib(of.host_mib)}")
        measuring.tell("first_minute", measured)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("first_minute", __doc__)
    parser.add_argument("run", nargs="?", type=Path, default=Path("runs/quick"), metavar="RUN", help="a quick run")
    parser.add_argument("--quick", action="store_true", help="time a whole quick run instead")
    command_line.run(measure, parser, arguments)


if __name__ == "__main__":
    main()

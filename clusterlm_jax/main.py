"""The command line: flags -> configuration -> one experiment, or a grid of them if `config.grid` has an axis.

    .venv/bin/python -m clusterlm_jax.main --config=configs/synthetic.py --workdir=DIR

`--help` lists the flags, and after `--config=FILE` every key. The exit code is 0; 2, with one sentence, for an error
that the user can correct; 130 for an interrupt. After a SIGTERM it is 75, which asks for the same command again:
a training has written a checkpoint first. It is 143 where that took too long, or a second SIGTERM came.
"""

# All else is imported late: an interrupt ends in a sentence from the first moments on, and a wrong flag is told before
# the seconds that jax and scikit-learn take.
from __future__ import annotations

import hashlib
import os
import platform
import re
import signal
import sys
import tempfile
import threading
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

from clusterlm_jax import preemption

if typing.TYPE_CHECKING:
    from ml_collections import config_dict

    from clusterlm_jax.settings import Settings

HELP = {"h", "help", "helpfull", "helpshort"}
DISTRIBUTED, POINT = "distributed", "point"
KEY = "config."
# Programs that took longer to compile are kept, the last used of them, in so many bytes.
COMPILED = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3", "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**30)}
ENDINGS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def main(argv: Sequence[str]) -> int:
    """Runs one experiment, or every point of a grid; returns the exit code."""
    from clusterlm_jax.records import UserError, check_local

    try:
        given = flags_of(argv[1:])
        for name in ("config", "workdir"):
            check_local(f"--{name}", given.get(name))
        if given.keys() & HELP:
            print(_help(given))
            return 0
        parsed = parse(given)
        from clusterlm_jax import config, processes
        from clusterlm_jax.workdir import WorkDir

        workdir = WorkDir(Path(given.get("workdir") or default_workdir(given["config"])).expanduser())
        if DISTRIBUTED in given:
            processes.join()
        points = config.points(parsed) if parsed.grid else {}
        if points and POINT not in given:
            processes.refuse("the points of a grid run in one process each")
            keep_compiled()
            from clusterlm_jax.experiments import grid

            grid.run(points, config.shared(parsed), workdir, {name: _point_alone(given, name) for name in points})
        else:
            checked = _chosen(points, given[POINT]) if POINT in given else config.build(parsed)
            workdir = WorkDir(workdir.root / given.get(POINT, ""))
            keep_compiled()
            from clusterlm_jax.experiments import stages

            stages.run(checked, workdir)
    except UserError as error:
        print(f"clusterlm_jax: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a directory taken away
        told = "what was written is complete, and once this is mended the same command goes on"
        print(f"clusterlm_jax: {error}; {told}.", file=sys.stderr)
        return 2
    return 0


def _chosen(points: Mapping[str, Settings], name: str) -> Settings:
    from clusterlm_jax.records import UserError

    if name not in points:
        raise UserError(f"--point is {name!r}; config.grid has the points: {'; '.join(points) or 'none'}.")
    return points[name]


def _point_alone(given: Mapping[str, str | None], name: str) -> list[str]:
    """The flags that run one point of a grid in its directory and nothing else, with all of this machine's cores."""
    alone = {**given, KEY + "eval.scheduler": "", POINT: name}
    return [f"--{flag}" if value is None else f"--{flag}={value}" for flag, value in alone.items()]


def flags_of(words: Sequence[str]) -> dict[str, str | None]:
    """{flag: value} of `--flag=value` or `--flag value`; None is a flag without a value.

    Raises:
      UserError: for what is no flag, and for a flag that is given twice.
    """
    from clusterlm_jax.records import UserError

    given: dict[str, str | None] = {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        flag = re.fullmatch(r"--?([^-=][^=]*)(?:=(.*))?", word, re.DOTALL)
        if flag is None:
            raise UserError(
                f"What is {word!r}? Every argument is a flag: --config=FILE, --workdir=DIR, --config.KEY=VALUE, --help."
            )
        name, value = flag.groups()
        if name in given:
            raise UserError(f"--{name} is given twice; give each flag once.")
        if value is None and name not in HELP | {DISTRIBUTED} and waiting and not re.match("--?[a-z]", waiting[0]):
            value = waiting.pop(0)
        given[name] = value
    return given


def parse(given: Mapping[str, str | None]) -> config_dict.ConfigDict:
    """The configuration that flags give, not yet checked as a whole.

    Raises:
      UserError: for an unknown flag or key, a missing file or value, or a wrong type.
    """
    from absl import flags
    from ml_collections import config_flags

    from clusterlm_jax import config
    from clusterlm_jax.records import UserError

    raw = config_of(given["config"]) if "config" in given else config.default("emergence")
    allowed = config.every_key(raw.experiment)
    for name, value in given.items():
        key = name.removeprefix(KEY)
        if name == DISTRIBUTED:
            if value is not None:
                raise UserError(f"--{name} takes no value, but was given {value!r}.")
            continue
        if key == name and name not in ("config", "workdir", POINT):
            raise UserError(
                f"There is no --{name}; allowed: --config=FILE, --workdir=DIR, --config.KEY=VALUE, --point=NAME, "
                "--distributed, --help."
            )
        if key != name and key not in allowed:
            raise UserError(f"There is no --{name}: {config.nearest(key, allowed)}")
        if not value and (key == name or (value is None and config.kinds(raw.experiment, key) != (bool,))):
            raise UserError(f"--{name} has no value; give it as --{name}=VALUE.")
    if "config" not in given:
        raise UserError("--config is missing, for example --config=configs/synthetic.py:quick; see the folder configs.")
    keys = {name: value for name, value in given.items() if name.startswith(KEY)}
    argv = ["", *(f"--{name}" if value is None else f"--{name}={value}" for name, value in keys.items())]
    values = flags.FlagValues()  # of this call: those of absl are the process's, and keep what an earlier call gave
    try:
        parsed = config_flags.DEFINE_config_dict("config", raw, flag_values=values, sys_argv=argv)
        values(argv)
    except flags.IllegalFlagValueError as error:
        key = re.search(r"--config\.([\w.]+)=", str(error))[1]
        raise UserError(config.refusal(raw.experiment, key, given[KEY + key])) from error
    except (flags.Error, AttributeError, KeyError, SyntaxError) as error:
        raise UserError(str(error).strip().splitlines()[-1]) from error
    return parsed.value


def config_of(file_and_form: str | None) -> config_dict.ConfigDict:
    """What a configuration file gives, `configs/synthetic.py:quick` for example.

    Raises:
      UserError: there is no such file, or it does not work.
    """
    from clusterlm_jax import config
    from clusterlm_jax.records import UserError

    file, _, form = (file_and_form or "").partition(":")
    if not file:
        raise UserError("--config has no value; give it as --config=FILE, for example configs/synthetic.py:quick.")
    if not Path(file).is_file():
        raise UserError(f"There is no configuration file {file!r}; see the folder configs.")
    try:
        given = config.from_file(Path(file), form)
        config.every_key(given.experiment)
        return given
    except UserError:
        raise
    except Exception as error:  # the file is the user's code, so it may raise anything
        raise UserError(f"The configuration file {file} does not work: {type(error).__name__}: {error}.") from error


def default_workdir(file_and_form: str) -> Path:
    """`configs/synthetic.py:quick` -> `runs/synthetic-quick`."""
    file, _, form = file_and_form.partition(":")
    return Path("runs") / "-".join([Path(file).stem, *filter(None, form.split(","))])


def _help(given: Mapping[str, str | None]) -> str:
    from clusterlm_jax import usage

    return usage.keys(config_of(given["config"])) if "config" in given else usage.page()


def keep_compiled() -> None:
    """Has jax, which is not loaded yet, keep what it compiles for later runs: a resumed one begins at once.

    In the user's cache directory, unless jax's own variable says where; empty, it keeps nothing. A directory that
    cannot be written is no reason to stop: then nothing is kept.
    """
    place = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "clusterlm_jax" / _processor()
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError:
        return
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": str(place)} | (COMPILED | os.environ)


def _processor() -> str:
    """A name for the kind of this machine's processor. A program compiled for another kind may crash."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        kind = sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU "))})
    except OSError:  # not Linux
        kind = [platform.processor()]
    return hashlib.sha256("\n".join([platform.machine(), *kind]).encode()).hexdigest()[:16]


def end_at_signals() -> None:
    """From now on Ctrl-C ends the process at once, wherever it is, with a sentence and code 130; SIGTERM as well, with
    code 75, but a training may write a checkpoint first (`preemption`).

    Python's own way is an exception in the main thread. It waits while that thread compiles, is lost in callbacks of
    libraries, and unwinds the interpreter under the threads of jax. Nothing needs unwinding: the files of a run survive
    a kill at any moment, and workers end with their parent. Call it in the main thread.
    """
    arrived, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)  # C code writes a signal's number there when it comes, whatever Python does
    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in a shell's background job, which Ctrl-C is not for
            signal.signal(number, lambda number, frame: None)
    threading.Thread(target=_end, args=(arrived,), daemon=True).start()


def _end(arrived: int) -> None:
    ending = signal.Signals(os.read(arrived, 1)[0])
    if ending == signal.SIGTERM:
        threading.Thread(target=_end_when_saved, daemon=True).start()
        ending = signal.Signals(os.read(arrived, 1)[0])  # a second signal does not wait
    _exit(ending, 128 + ending)


def _end_when_saved() -> None:
    _exit(signal.SIGTERM, preemption.START_AGAIN if preemption.saved() else 128 + signal.SIGTERM)


def _exit(ending: signal.Signals, code: int) -> None:
    # A progress bar may stand on the last line.
    os.write(2, f"\nclusterlm_jax: {ENDINGS[ending]}; the same command goes on from what is finished.\n".encode())
    os._exit(code)


if __name__ == "__main__":
    end_at_signals()
    sys.exit(main(sys.argv))

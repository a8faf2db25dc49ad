"""`python -m clusterlm_jax.main --config=configs/synthetic.py --workdir=DIR`: flags -> config -> one experiment.

Or a grid of experiments, where `config.grid` has an axis.
Exit code 0; 2 with one sentence where a person can put right what is wrong; 130 when interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file("config", None, "The configuration, e.g. configs/synthetic.py:quick.")
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The directory of the run; the same one again resumes. By default runs/ and the configuration's name.",
)
INTERRUPTED = 130


def main(argv: list[str]) -> int:
    """Runs one experiment, or every point of a grid; returns the exit code."""
    from clusterlm_jax.records import UserError  # no import of a room outlives a wrong flag

    try:
        given = parse(argv)
        from clusterlm_jax import config
        from clusterlm_jax.workdir import WorkDir

        workdir = WorkDir(Path(_WORKDIR.value or default_workdir()))
        if given.grid:
            points = config.points(given)
            from clusterlm_jax.experiments import grid

            grid.run(points, config.shared(given), workdir)
        else:
            checked = config.build(given)
            from clusterlm_jax.experiments import single

            single.run(checked, workdir)
    except UserError as error:
        print(f"clusterlm_jax: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a directory taken away
        print(f"clusterlm_jax: {error}; what was written stays whole, the same command goes on.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("clusterlm_jax: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return INTERRUPTED
    return 0


def parse(argv: list[str]):
    """The configuration of a command line, not yet checked as a whole.

    Raises:
      UserError: for an unknown flag or key, a missing file or a wrong type.
    """
    from clusterlm_jax import config
    from clusterlm_jax.records import UserError

    given = [argument.lstrip("-").partition("=") for argument in argv[1:]]
    allowed = _allowed_keys(next((value for name, _, value in given if name == "config"), ""))
    for name, _, _ in given:
        key = name.removeprefix("config.")
        if key != name and key not in allowed:
            raise UserError(f"There is no --{name}: {config.nearest(key, allowed)}")
    try:
        rest = flags.FLAGS(argv)[1:]
    except (flags.Error, AttributeError, KeyError, SyntaxError) as error:
        raise UserError(str(error).strip().splitlines()[-1]) from error
    if rest:
        raise UserError(
            f"What is {rest[0]!r}? Every argument is a flag: --config=FILE, --workdir=DIR, --config.KEY=VALUE."
        )
    if _CONFIG.value is None:
        raise UserError("--config is missing, for example --config=configs/synthetic.py:quick; see the folder configs.")
    return _CONFIG.value


def _allowed_keys(file_and_form: str) -> list[str]:
    """The keys that a configuration file has; those of the main experiment where none is named."""
    from clusterlm_jax import config
    from clusterlm_jax.records import UserError

    file, _, form = file_and_form.partition(":")
    if not file_and_form:
        return config.every_key("emergence")
    if not Path(file).is_file():
        raise UserError(f"There is no configuration file {file!r}; see the folder configs.")
    try:
        return config.every_key(config.from_file(Path(file), form).experiment)
    except UserError:
        raise
    except Exception as error:  # a user's file may hold any mistake
        raise UserError(f"The configuration file {file} does not work: {type(error).__name__}: {error}.") from error


def default_workdir() -> Path:
    """`configs/synthetic.py:quick` -> `runs/synthetic-quick`."""
    file, _, form = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    return Path("runs") / "-".join([Path(file).stem, *filter(None, form.split(","))])


if __name__ == "__main__":
    # ml_collections looks into sys.argv itself, and wants the file before the keys there.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda argument: not argument.startswith("--config="))
    code = main(sys.argv)
    if code == INTERRUPTED:
        # A thread of jax may still be compiling, and crashes if the interpreter is torn down under it.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)

"""The command line: flags -> configuration -> one experiment, or a grid of them if `config.grid` has an axis.

    .venv/bin/python -m clusterlm_jax.main --config=configs/synthetic.py --workdir=DIR

The exit code is 0; 2, with one sentence, for an error that the user can correct; 130 for an interrupt.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from absl import flags
from ml_collections import config_dict, config_flags

_CONFIG = config_flags.DEFINE_config_file("config", None, "The configuration, e.g. configs/synthetic.py:quick.")
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The directory of the run. An interrupted run resumes in it. By default runs/ and the configuration's name.",
)
INTERRUPTED = 130


def main(argv: list[str]) -> int:
    """Runs one experiment, or every point of a grid; returns the exit code."""
    # The rooms are imported late: a wrong flag is told at once, before the seconds that jax and scikit-learn take.
    from clusterlm_jax.records import UserError

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
            from clusterlm_jax.experiments import stages

            stages.run(checked, workdir)
    except UserError as error:
        print(f"clusterlm_jax: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a directory taken away
        print(f"clusterlm_jax: {error}; what was written is complete, and the same command resumes.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("clusterlm_jax: interrupted; the same command resumes.", file=sys.stderr)
        return INTERRUPTED
    return 0


def parse(argv: list[str]) -> config_dict.ConfigDict:
    """The configuration that a command line gives, not yet checked as a whole.

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
    """The keys that a configuration file has; if the command line names no file, those of the main experiment."""
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
    except Exception as error:  # the file is the user's code, so it may raise anything
        raise UserError(f"The configuration file {file} does not work: {type(error).__name__}: {error}.") from error


def default_workdir() -> Path:
    """`configs/synthetic.py:quick` -> `runs/synthetic-quick`."""
    file, _, form = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    return Path("runs") / "-".join([Path(file).stem, *filter(None, form.split(","))])


if __name__ == "__main__":
    # ml_collections reads sys.argv itself, and there the file has to come before the keys.
    sys.argv[1:] = sorted(sys.argv[1:], key=lambda argument: not argument.startswith("--config="))
    code = main(sys.argv)
    if code == INTERRUPTED:
        # A thread of jax may still be compiling; it would crash while the interpreter shuts down.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)

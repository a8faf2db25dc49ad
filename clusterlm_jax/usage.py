"""What `--help` prints: the flags, the experiments and the files, or every key of one file with its reason."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path

from clusterlm_jax import config, experiments
from clusterlm_jax.workdir import flatten

WIDTH = 120  # columns
LONGEST_VALUE = 300  # characters; a grid may be pages long
CONFIGS = Path(__file__).parents[1] / "configs"
FIELD = re.compile(r"    (\w+): .*?(?:  # (?P<beside>.+))?")
COMMENT = re.compile(r"    # (.+)")
GRID = "axes of overrides (configs/widths.py has an example); empty is a single run"  # no class declares this key

FLAGS = """\
Runs one experiment of "Transformer-based Causal Language Models Perform Clustering" (arXiv 2402.12151), or a grid of
them, and writes its report.

    .venv/bin/python -m clusterlm_jax.main --config=FILE[:FORM] [--workdir=DIR] [--config.KEY=VALUE ...]
        [--point=NAME] [--distributed]

    --config=FILE[:FORM]   the configuration, for example configs/synthetic.py, or configs/synthetic.py:quick on a CPU
    --workdir=DIR          the directory of the run, where an interrupted run resumes; default: runs/ and FILE's name
    --config.KEY=VALUE     another value of a key; a tuple needs quotes: "--config.seeds=(0, 1)"
    --point=NAME           one point of a grid alone, without the comparison
    --distributed          one of several processes that train together, each started with this command (WORKSPACE.md)
    --config=FILE --help   every key, with its value in FILE and its reason

The exit code is 0; 2, with one sentence, for what you can mend; 75 after a SIGTERM (a machine is taken away): the same
command goes on, and a training has saved its state; 143 where it could not in time; 130 after Ctrl-C.
"""


def page() -> str:
    """The flags, the experiments, and the files of the folder configs with the first sentence of each."""
    kinds = {name: experiments.part(name, "settings").SETTINGS.__doc__ for name in experiments.names()}
    files = {f"configs/{path.name}": ast.get_docstring(ast.parse(path.read_text())) for path in CONFIGS.glob("*.py")}
    parts = [FLAGS]
    for title, texts in (("Experiments:", kinds), ("Files, with commands, times and what to expect:", files)):
        longest = max(map(len, texts), default=0)
        lines = [f"    {name:{longest}}   {text.splitlines()[0]}" for name, text in sorted(texts.items())]
        parts.append("\n".join([title, "", *lines, ""]))
    return "\n".join(parts)


def keys(given: config.config_dict.ConfigDict) -> str:
    """Every key of a configuration with its value and its reason, section by section."""
    values, why, specs = flatten(given.to_dict()), reasons(given.experiment), config.specs(given.experiment)
    lines, last = [f"The keys of the experiment {given.experiment}; --config.KEY=VALUE gives another value.", ""], ""
    for key in config.every_key(given.experiment):
        section = key.rpartition(".")[0]
        if section != last:
            lines += ["", f"{section}: {specs[section].__doc__.splitlines()[0]}", ""]
        value = textwrap.shorten(repr(values.get(key)), LONGEST_VALUE, placeholder=" ...")
        lines += [f"{key} = {value}", textwrap.fill(why[key], WIDTH, initial_indent="    ", subsequent_indent="    ")]
        last = section
    return "\n".join(lines)


def reasons(experiment: str) -> dict[str, str]:
    """{key in full: its reason}, which stands beside or above the field that declares the key; empty without one."""
    beside = {section: comments(spec) for section, spec in config.specs(experiment).items()}
    found = {}
    for key in config.every_key(experiment):
        section, _, name = key.rpartition(".")
        found[key] = beside[section].get(name, "")
    return found | {"grid": GRID}


def comments(spec: type) -> dict[str, str]:
    """{field: the comment above and beside it}, of a class and those it inherits from; the nearest class with one."""
    found, above = {}, []
    for kind in reversed(spec.__mro__[:-1]):
        for line in inspect.getsource(kind).splitlines():
            if field := FIELD.fullmatch(line):
                text = " ".join(filter(None, [*above, field["beside"]]))
                found |= {field[1]: text} if text else {}
            comment = COMMENT.fullmatch(line)
            above = [*above, comment[1]] if comment else []
    return found

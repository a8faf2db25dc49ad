"""Gives the program thousands of odd command lines and damaged files, the same for the same seed.

    .venv/bin/python -m trials.fuzz

Each must be refused in one sentence, with nothing changed on the disk, or do no harm. The exit code is 1 where one ends
in a traceback or leaves something behind.
"""

from __future__ import annotations

import collections
import contextlib
import io
import os
import random
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.command_line import QUICK_TO_COMPILE

# Before libraries are imported, which read them then.
os.environ |= {"JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1"} | QUICK_TO_COMPILE

from tqdm import tqdm

from benchmarks import command_line
from clusterlm_jax.records import UserError
from trials import command_lines, foreign_files, own_files
from trials.runs import table

FINE = ("refused", "harmless")
SHOWN = 3  # failures of a kind that are told in full
Found = dict[str, collections.Counter[str]]  # kind -> how many were "refused", "harmless", or failed in such words


def outcome(case: Callable[[random.Random, Path], None], rng: random.Random) -> str:
    """What comes of a case in a folder of its own: "refused", "harmless", or what went wrong."""
    told = io.StringIO()  # bars, and what libraries say of a damaged file
    with (
        tempfile.TemporaryDirectory() as name,
        warnings.catch_warnings(action="ignore"),
        contextlib.redirect_stderr(told),
        contextlib.redirect_stdout(told),
    ):
        try:
            case(rng, Path(name))
            return "harmless"
        except UserError as error:
            sentence = str(error)
            return "refused" if sentence.strip() and "\n" not in sentence else f"It told {sentence!r}."
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the panic of a library in Rust is no `Exception`
            return "".join(traceback.format_exception(error))


def kinds(lines: int, own: int, foreign: int) -> dict[str, tuple[int, Callable[[random.Random, Path], None]]]:
    """What is tried: how many cases of each kind, and what a case does."""
    return {
        "command lines": (lines, command_lines.case),
        **{name: (own * share // 100, case) for name, (share, case) in own_files.CASES.items()},
        **{name: (foreign, case) for name, case in foreign_files.CASES.items()},
    }


def fuzz(
    lines: int, own: int, foreign: int, seed: int, only: Sequence[str] = ()
) -> dict[str, collections.Counter[str]]:
    """What came of each kind of case, `only` of some."""
    chosen = {name: kind for name, kind in kinds(lines, own, foreign).items() if kind[0] and (not only or name in only)}
    if chosen.keys() & own_files.CASES.keys():
        own_files.finished()  # before the first case, as which a failure would count
    found = {name: collections.Counter() for name in chosen}
    with tqdm(total=sum(count for count, _ in chosen.values()), unit="case", dynamic_ncols=True) as bar:
        for name, (count, case) in chosen.items():
            bar.set_description(name)
            for number in range(count):
                came = outcome(case, random.Random(f"{seed}/{name}/{number}"))
                if came not in (*FINE, *found[name]) and len(found[name].keys() - {*FINE}) < SHOWN:
                    tqdm.write(f"{name}, case {number}: {came}", file=sys.stderr)
                found[name][came] += 1
                bar.update()
    return found


def report(found: Found) -> int:
    """Prints a table; how many cases failed."""
    counts = {name: (count.total(), *(count[came] for came in FINE)) for name, count in found.items()}
    rows = {(name, *map(str, count)): count[0] - sum(count[1:]) for name, count in counts.items()}
    print(table(("kind", "cases", "refused in a sentence", "harmless", "failed"), rows))
    return sum(rows.values())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_line.parser("fuzz", __doc__)
    parser.prog = ".venv/bin/python -m trials.fuzz"
    parser.add_argument("--lines", type=int, default=2000, help="command lines")
    parser.add_argument("--own", type=int, default=2000, help="damaged files of the program's own formats")
    parser.add_argument("--foreign", type=int, default=200, help="damaged files of each kind that others make")
    parser.add_argument("--seed", type=int, default=0, help="of the cases")
    parser.add_argument("--only", nargs="+", default=[], choices=[*kinds(0, 0, 0)], metavar="KIND", help="kinds to try")
    return int(bool(report(fuzz(**vars(parser.parse_args(arguments))))))


if __name__ == "__main__":
    sys.exit(main())

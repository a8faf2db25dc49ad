"""The report of one or several probed models: figures, tables, and one page to read (paper 3.4, table 1).

A probing run writes its own. For any of their work directories, on one page:

    python -m clusterlm_jax.report.probing DIR DIR ... --into=DIR
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clusterlm_jax.records import UserError
from clusterlm_jax.report.claims import VERDICTS
from clusterlm_jax.report.figures import LABELS
from clusterlm_jax.report.probe import Probe, read_probes
from clusterlm_jax.report.probing_claims import Judgement, judge, place_words
from clusterlm_jax.report.probing_figures import FIGURES
from clusterlm_jax.report.probing_paper import NINE
from clusterlm_jax.report.probing_plain import in_plain_words
from clusterlm_jax.report.probing_tables import TABLES
from clusterlm_jax.report.publishing import publish
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.words import LABEL_WORDS, SCORE_WORDS, SHORT_REDUCERS, duration

ARCHITECTURES = {"llama": "LLaMA", "gptj": "GPT-J"}


def write(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Draws what the probing runs of work directories have come to; writes `figures/`, `tables/` and `report.html`.

    Whatever has not been run is named in words in its place.

    Args:
      workdirs: by name, in the order to show them; a name is shown where no model is known.
      into: where to write: the work directory of a single run, or another directory.
      spec: how to show them.

    Returns:
      The path of the page.

    Raises:
      UserError: `into` is a work directory itself, and a file in it is damaged.
    """
    probes = read_probes(workdirs, into)
    judgements = judge(probes)
    return publish(
        into,
        "probing.html",
        probes,
        FIGURES,
        TABLES,
        spec,
        name=probes[0].name if len(probes) == 1 else into.resolve().name,
        probes=probes,
        several=len(probes) > 1,
        headline=_headline(probes, judgements),
        plain_words={probe.name: in_plain_words(probe, probes) for probe in probes},
        judgements=judgements,
        configurations={probe.name: json.dumps(probe.config, indent=2, sort_keys=True) for probe in probes},
        environments={probe.name: json.dumps(probe.environment, indent=2, sort_keys=True) for probe in probes},
    )


def _headline(probes: Sequence[Probe], judgements: Sequence[Judgement]) -> list[tuple[str, str, str]]:
    """The main numbers: a name, words, and the address of a page of its own, empty where there is none."""
    verdicts = [judgement.verdict for judgement in judgements]
    claims = ", ".join(f"{count} {verdict}" for verdict in VERDICTS if (count := verdicts.count(verdict)))
    lines = _one(probes[0]) if len(probes) == 1 else [(probe.name, _in_short(probe), probe.address) for probe in probes]
    return [*lines, ("The paper's claims", claims, "")]


def _one(probe: Probe) -> list[tuple[str, str, str]]:
    layers, prompts = len(probe.layers), probe.dataset.get("test")
    scored = ", ".join(f"{words} {probe.scored[reducer]} of {layers}" for reducer, words in SHORT_REDUCERS.items())
    lines = {
        "Model": f"{probe.name}: {_model_words(probe)}" if probe.model else "not run",
        "Read": f"{prompts:,} prompts, each at the last token of its input" if prompts else "not run",
        "Layers scored": scored if layers else "not run",
        "Best layer and reducer": _or_not_run(place_words, probe),
        **{f"By {LABEL_WORDS[label]}": _or_not_run(_three_words, probe, label) for label in LABELS},
        "Wall time by stage": ", ".join(f"{stage} {duration(s)}" for stage, s in probe.seconds.items()) or "not run",
    }
    return [(name, words, "") for name, words in lines.items()]


def _model_words(probe: Probe) -> str:
    model = probe.model
    return (
        f"{ARCHITECTURES.get(model['architecture'], model['architecture'])}, {model['layers']} blocks of width "
        f"{model['hidden_dim']:,}, {model['heads']} heads, {model['parameters']:,} parameters without the "
        f"language-model head, computed in {model['compute_dtype']}"
    )


def _or_not_run(words: Callable[..., str], *of: Any) -> str:
    try:
        return words(*of)
    except NotRun:
        return "not run"


def _three_words(probe: Probe, label: str) -> str:
    """The scores by a label at the chosen layer, and the paper's."""
    reducer, layer = probe.chosen
    ours = dict(zip(NINE, probe.nine(reducer, layer), strict=True))
    words = [f"{name} {_number(ours[label, score])}" for score, name in SCORE_WORDS.items()]
    if probe.paper:
        paper = dict(zip(NINE, probe.paper.scores, strict=True))
        its = ", ".join(f"{paper[label, score]:.3f}" for score in SCORE_WORDS)
        words[-1] += f" (the paper's {probe.paper.name}: {its})"
    return ", ".join(words)


def _in_short(probe: Probe) -> str:
    if probe.missing:
        return f"not run: {probe.missing}"
    return _or_not_run(_f1_words, probe)


def _f1_words(probe: Probe) -> str:
    ours = zip(NINE, probe.nine(*probe.chosen), strict=True)
    words = (f"{LABEL_WORDS[label]} {_number(value)}" for (label, score), value in ours if score == "f1")
    return f"{place_words(probe)}; F1 by {', '.join(words)}"


def _number(value: float | None) -> str:
    return "not run" if value is None else f"{value:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m clusterlm_jax.report.probing", description=__doc__)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="work directories of probed models")
    parser.add_argument("--into", required=True, type=Path, metavar="DIR", help="where to write")
    given = parser.parse_args(arguments)
    try:
        for directory in given.directories:
            if not directory.is_dir():
                raise UserError(f"There is no work directory {directory}.")
        workdirs = {str(directory): directory for directory in given.directories}
        print(f"The report is at {write(workdirs, given.into, ReportSpec())}")
    except UserError as error:
        print(f"clusterlm_jax: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

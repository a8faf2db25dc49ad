"""The page of the causal tests on a run, and of several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from clusterlm_jax.analysis.instruments.directions import MEANS
from clusterlm_jax.experiments.causal import effects as of
from clusterlm_jax.experiments.causal.claims import CLAIMS
from clusterlm_jax.experiments.causal.effects import GIVEN_INPUT, NOTHING, Effects, read_effects
from clusterlm_jax.experiments.causal.figures import FIGURES, draw_swap, swap_handles
from clusterlm_jax.experiments.causal.tables import TABLES, table_accuracy
from clusterlm_jax.report import comparison
from clusterlm_jax.report.claims import judge
from clusterlm_jax.report.comparison import Point, claims_entry, panels, read_points
from clusterlm_jax.report.page import PAPER, Page, figure, publish
from clusterlm_jax.report.run import measured
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.report.tables import over_seeds, shown
from clusterlm_jax.report.training import model_words, seconds_words
from clusterlm_jax.report.words import layer_words

QUESTION = "Does it matter?"
TRAINED = (
    f"A GPT-2 learned synthetic instruction-following tasks, as in {PAPER}. Here its states are changed and its "
    "answers counted, on validation instances."
)
PRETRAINED = (
    f"A pretrained language model reads natural instructions for the 16 tasks of {PAPER}, on words that several tasks "
    "take. Here its states are changed and its answers counted, on wordings held out (<em>validation</em>); the other "
    "wordings are the <em>training set</em>. An answer is right if its first token is; pairs whose answers begin with "
    "the same token are left out. A <em>symbol</em> is a token, the <em>input token</em> the prompt's last one, and "
    "<em>distributions</em> are groups of wordings."
)
TESTS = (
    " <em>Swap</em>: the input token gets the state of an instance with the same input and another task. "
    "<em>Move</em>: a direction from the own task to the other one is added. <em>Remove</em>: the directions between "
    "tasks are projected out. <em>Where it comes from</em>: the states of the instruction's last symbols are swapped. "
    "Directions come from the training set."
)


def write(workdir: Path, spec: ReportSpec) -> Path:
    """Writes `figures/`, `tables/` and `report.html`, as far as the tests have come; returns the path of the page.

    Raises:
      UserError: there is no such work directory, or a file in it is damaged.
    """
    effects = read_effects(workdir)
    run, checkpoint = effects.config.get("run"), effects.config.get("checkpoint")
    page = Page(
        title=f"{QUESTION} {effects.name}",
        question=f"{QUESTION} Causal tests on {checkpoint or run or 'a run'}",
        introduction=(PRETRAINED if checkpoint else TRAINED) + TESTS,
        summary=[*filter(None, (measured(sentence, effects) for sentence in (_nothing, _swap, _move, _apart)))],
        lead="figure_decodable",
        facts=[
            ("Under test", checkpoint or f"{run or 'not known'}, seeds {', '.join(map(str, effects.seeds))}"),
            ("Model", model_words(effects)),
            ("Pairs of instances", _of_seeds(effects, "pairs")),
            ("Accuracy on validation", _of_seeds(effects, "accuracy")),
            ("Wall time by test", seconds_words(effects)),
        ],
        judgements=judge(CLAIMS, effects),
        several="seed" if effects.members else "",
        details={"Configuration": effects.config, "Environment": effects.environment},
    )
    tables = (table_accuracy, *TABLES) if checkpoint else TABLES
    return publish(page, effects, FIGURES, tables, workdir, spec, heading=lambda entry: entry.title)


def _of_seeds(effects: Effects, name: str) -> str:
    return shown(over_seeds([effects.of_seed(seed).get(name) for seed in effects.seeds]))


def _nothing(effects: Effects) -> str | None:
    """Where no seed has pairs, that nothing follows."""
    pairs = {effects.of_seed(seed).get("pairs") for seed in effects.seeds}
    return f"{NOTHING} The accuracy is {_of_seeds(effects, 'accuracy')}." if pairs == {0} else None


def _swap(effects: Effects) -> str:
    shares = (f"{effects.value(of.SWAP, of.OTHER_TASK, block):.2f}" for block in effects.blocks)
    return f"Swap changes the answer to the other task's in {', '.join(shares)} of the pairs (blocks 1 up)."


def _move(effects: Effects) -> str:
    (share, layer, strength), (given, *_) = (
        effects.best(of.MOVE, kind, effects.blocks[:-1]) for kind in (MEANS, MEANS + GIVEN_INPUT)
    )
    return (
        f"Before the last block, Move along the difference of task means does it in {given:.2f} at best if the "
        f"difference is of the pair's input, and in {share:.2f} if it is of all inputs ({layer_words(layer)}, strength "
        f"{strength:g})."
    )


def _apart(effects: Effects) -> str:
    decoded, block, _ = effects.best(of.PROBE, of.TASK, effects.blocks, "own")
    moved = effects.value(of.MOVE, MEANS, block)
    return (
        f"At {layer_words(block)} a probe reads the task across distributions with accuracy {decoded:.2f}; the "
        f"difference of task means, added once, steers {moved:.2f} of the pairs."
    )


def compare(workdirs: Mapping[str, Path], into: Path, spec: ReportSpec) -> Path:
    """Writes the page of several runs side by side, as far as each has come; returns its path."""
    points = read_points(read_effects, _swap, workdirs, into)
    return comparison.write(QUESTION, points, (compared_swap,), (claims_entry(CLAIMS),), into, spec)


@figure("figure_swap", "Swap", "As on each run's own page: the state of another task's instance with the same input.")
def compared_swap(points: Sequence[Point[Effects]]) -> Figure:
    return panels(points, "at the input token, validation", draw_swap, swap_handles())

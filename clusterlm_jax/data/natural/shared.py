"""Natural instructions on words that several of the 16 tasks take: "knife" has a plural, and a French translation.

The paper's prompts (`prompts`) hardly share inputs between tasks. A causal test compares two tasks on one input, so it
needs words that two tasks or more take, and on which they differ. Ours are in `shared_inputs.json`, and each of the 16
tasks has seven at least; those of Hendel et al.'s files are found in them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from clusterlm_jax.data.natural.hendel import read_pairs
from clusterlm_jax.data.natural.prompts import FILE_OF, TASKS, Record, numbered, read_task, read_wordings
from clusterlm_jax.data.natural.user_files import read_object
from clusterlm_jax.records import Prompts, UserError, check_bounds

OURS = Path(__file__).parent / "shared_inputs.json"


@dataclasses.dataclass(frozen=True)
class SharedSpec:
    """Which prompts are composed, and what ends them. The defaults give 293 pairs of words in 12 wordings each."""

    mappings_dir: str = ""  # Hendel et al.'s folder with their JSON files; empty: our pairs
    wordings: str = ""  # a JSON file {task: [wording, ...]} with tasks named as in `TASKS`; empty: our wordings
    wordings_per_task: int = 12  # of more, so many are drawn
    held_out: int = 4  # of these, so many give the prompts that are patched; directions come from the others
    inputs: int = 100  # words at most; of more, so many are drawn
    # What stands between input and answer. The prompt's last token is the one that is patched and that answers: the
    # input's, as the paper reads it, or with an ending such as " ->" the ending's, as in Hendel et al. (2023).
    ending: str = ""

    def __post_init__(self) -> None:
        check_bounds("data", self, wordings_per_task=(2, 100_000), inputs=(1, 100_000))
        check_bounds("data", self, held_out=(1, self.wordings_per_task - 1))


def compose(spec: SharedSpec, seed: int) -> Prompts:
    """Combines the wordings of every task with the words that it shares with other tasks; the seed draws both.

    Raises:
      UserError: a user's file cannot be used, has too few wordings of a task, or no word that two tasks take.
    """
    answers = _answers(spec)
    words = sorted(np.random.default_rng(seed).permutation(len(answers))[: spec.inputs])
    chosen = [list(answers)[word] for word in words]
    given = read_wordings(Path(spec.wordings)) if spec.wordings else {}
    records = []
    for number, stem in enumerate(TASKS):
        task = read_task(stem)
        wordings = given.get(stem, ()) if spec.wordings else task.wordings
        if len(wordings) < spec.wordings_per_task:
            raise UserError(
                f"data.wordings_per_task is {spec.wordings_per_task}, but {spec.wordings or FILE_OF[stem]} has only "
                f"{len(wordings)} wordings for {task.task} ({stem})."
            )
        drawn = np.sort(np.random.default_rng([seed, number]).permutation(len(wordings))[: spec.wordings_per_task])
        pairs = {x: answers[x][stem] for x in chosen if stem in answers[x]}
        records += [
            Record(task.category, task.task, wordings[index], x, y) for index in drawn for x, y in pairs.items()
        ]
    return numbered(records)


def _answers(spec: SharedSpec) -> dict[str, Mapping[str, str]]:
    """{input: {task: output}} of the inputs on which two tasks or more differ."""
    answers: dict[str, dict[str, str]] = {}
    if spec.mappings_dir:
        for stem in TASKS:
            for x, y in read_pairs(Path(spec.mappings_dir), FILE_OF[stem]).items():
                answers.setdefault(x, {})[stem] = y
    else:
        answers = read_object(OURS, "a JSON object {input: {task: output}}")
    shared = {x: of_task for x, of_task in answers.items() if len(set(of_task.values())) > 1}
    if not shared:
        raise UserError(f"No two tasks in {spec.mappings_dir} (data.mappings_dir) have an input in common.")
    return shared

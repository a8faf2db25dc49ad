"""Natural instructions: 16 tasks, each in many wordings, on one-word inputs (paper 3.4, appendix E, table 10).

A task of ours is a file of `tasks`: its names and description from table 10, wordings of the description, and
pairs of words, both written for this project. The paper's are not published.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clusterlm_jax.data.natural.hendel import is_word, read_pairs, spread
from clusterlm_jax.data.natural.user_files import read_object
from clusterlm_jax.records import Prompts, UserError, write_atomically

DIRECTORY = Path(__file__).parent / "tasks"
TASKS = (  # in the order of table 10, named as Hendel et al. name their files
    *("fr_en", "en_fr", "es_en", "en_es", "it_en", "en_it"),
    *("antonyms", "plural_singular", "singular_plural"),
    *("present_simple_gerund", "present_simple_past_perfect", "present_simple_past_simple"),
    *("country_capital", "location_continent", "location_religion", "person_language"),
)


@dataclasses.dataclass(frozen=True)
class NaturalSpec:
    """Which prompts are composed: the defaults give 16 x 55 x 10, the paper's 8,800 (table 2)."""

    mappings_dir: str = ""  # Hendel et al.'s folder with their JSON files; empty: our pairs
    wordings: str = ""  # a JSON file {task: [wording, ...]}, the task as in `TASKS`; empty: our wordings
    wordings_per_task: int = 55  # the paper asks a chat model for 50, but only 55 make its 8,800
    mappings_per_task: int = 10

    def __post_init__(self) -> None:
        for name in ("wordings_per_task", "mappings_per_task"):
            if getattr(self, name) < 1:
                raise UserError(f"data.{name} is {getattr(self, name)}; it must be at least 1.")


@dataclasses.dataclass(frozen=True)
class NaturalTask:
    """A task of table 10.

    Attributes:
      category, task, description: as in table 10.
      hendel: the task's file in Hendel et al.'s folder.
      wordings: ways to say the description.
      pairs: words by the word given.
    """

    category: str
    task: str
    description: str
    hendel: str
    wordings: Sequence[str]
    pairs: Mapping[str, str]


class Record(NamedTuple):
    """A prompt for a person: a line of `prompts.jsonl`."""

    category: str
    task: str
    wording: str
    input: str
    output: str

    @property
    def text(self) -> str:
        return f"{self.wording} {self.input}"


def compose(spec: NaturalSpec, seed: int) -> Prompts:
    """Every wording of every task with every pair of the task.

    Where a task has more wordings or pairs than are asked for, the seed draws them, the outputs of the pairs spread
    evenly; each task has a stream of its own for either.

    Raises:
      UserError: if a file given cannot be used, or a task has too few wordings or pairs.
    """
    wordings = read_wordings(Path(spec.wordings)) if spec.wordings else None
    records = []
    for number, stem in enumerate(TASKS):
        task = read_task(stem)
        if wordings is not None:
            task = dataclasses.replace(task, wordings=wordings.get(stem, ()))
        if spec.mappings_dir:
            task = dataclasses.replace(task, pairs=read_pairs(Path(spec.mappings_dir), task.hendel))
        _check_enough(spec, stem, task)
        wording_rng, pair_rng = (np.random.default_rng([seed, number, stream]) for stream in range(2))
        drawn = np.sort(wording_rng.permutation(len(task.wordings))[: spec.wordings_per_task])
        pairs = spread(task.pairs, spec.mappings_per_task, pair_rng)
        records += [
            Record(task.category, task.task, task.wordings[index], x, y) for index in drawn for x, y in pairs.items()
        ]
    return _prompts(records)


def read_task(stem: str) -> NaturalTask:
    """A task of ours, of `TASKS`.

    Raises:
      UserError: if a pair is not of one word to one word.
    """
    path = DIRECTORY / f"{stem}.json"
    task = NaturalTask(**read_object(path, "a task"))
    for x, y in task.pairs.items():
        for what, word in (("input", x), ("output", y)):
            if not is_word(word):
                raise UserError(f"The pair {x!r} -> {y!r} of {path} has an {what} that is not one word.")
    return task


def read_wordings(path: Path) -> dict[str, tuple[str, ...]]:
    """A user's wordings by task, without the space around them; not every task need be there.

    Raises:
      UserError: if the file is of another form, or a wording is blank or there twice.
    """
    wordings: dict[str, tuple[str, ...]] = {}
    task_of: dict[str, str] = {}
    for stem, texts in read_object(path, "a JSON object {task: [wording, ...]}").items():
        if stem not in TASKS:
            close = difflib.get_close_matches(stem, TASKS, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(TASKS)}."
            raise UserError(f"{path} has wordings of {stem!r}, which is no task: {hint}")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UserError(f"{path} must give the wordings of {stem} as a list of texts.")
        wordings[stem] = tuple(text.strip() for text in texts)
        for number, text in enumerate(wordings[stem], start=1):
            if not text:
                raise UserError(f"{path} has a blank wording of {stem}, number {number}.")
            if text in task_of:
                raise UserError(
                    f"{path} has the wording {text!r} twice, for {task_of[text]} and for {stem}; "
                    "all wordings must be distinct."
                )
            task_of[text] = stem
    return wordings


def save(prompts: Prompts, path: Path) -> None:
    """Writes one JSON object a line, a `Record` each."""
    write_atomically(path, lambda temporary: temporary.write_bytes(_lines(prompts)))


def load(path: Path) -> Prompts:
    """The prompts that `save` wrote.

    Raises:
      UserError: if they are missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"There are no prompts at {path}: run the 'data' stage first (config.stages).")
    records: dict[str, Record] = {}
    for number, line in enumerate(path.read_bytes().splitlines() or [b""], start=1):
        try:
            record = Record(**json.loads(line))
            if not all(isinstance(value, str) for value in record) or record.text in records:
                raise ValueError
        except (ValueError, TypeError) as error:
            raise UserError(
                f"The prompts at {path} are damaged (line {number}): delete the file and run the 'data' stage."
            ) from error
        records[record.text] = record
    return _prompts(records.values())


def digest(prompts: Prompts) -> str:
    """SHA-256 of the prompts and their identities: that of the file `save` writes."""
    return hashlib.sha256(_lines(prompts)).hexdigest()


def statistics(prompts: Prompts) -> dict[str, Any]:
    """Sizes of the prompts, for people and for table 2, and what the labels stand for; the section of `run.json`.

    Tasks are those of table 10, the paper's distributions; categories are its task identities.
    """
    names = prompts.names
    return {
        "test": len(prompts),
        "tasks": len(names["distribution"]),
        "categories": len(names["task"]),
        "wordings": len(np.unique(prompts.labels["instruction"])),
        "mappings": len(names["mapping"]),
        "sha256": digest(prompts),
        "names": {name: list(names[name]) for name in ("task", "distribution")},
    }


def _check_enough(spec: NaturalSpec, stem: str, task: NaturalTask) -> None:
    ours, hendel = DIRECTORY / f"{stem}.json", Path(spec.mappings_dir) / task.hendel
    for key, found, where, what in (
        ("wordings_per_task", task.wordings, spec.wordings or ours, "wordings"),
        ("mappings_per_task", task.pairs, hendel if spec.mappings_dir else ours, "pairs of one word to one word"),
    ):
        if len(found) < (needed := getattr(spec, key)):
            raise UserError(
                f"data.{key} is {needed}, but for {task.task} ({stem}) only {len(found)} usable {what} are in {where}."
            )


def _prompts(records: Iterable[Record]) -> Prompts:
    """Identities are numbered by first appearance."""
    records = list(records)
    identities = {
        "task": [record.category for record in records],
        "distribution": [record.task for record in records],
        "mapping": [f"{record.input} -> {record.output}" for record in records],
        "instruction": [record.wording for record in records],
        "input": [record.input for record in records],
        "output": [record.output for record in records],
    }
    names = {column: tuple(dict.fromkeys(values)) for column, values in identities.items()}
    labels = {}
    for column, values in identities.items():
        number = {name: index for index, name in enumerate(names[column])}
        labels[column] = np.array([number[value] for value in values], np.int32)
    del names["instruction"]  # the texts hold the wordings
    return Prompts(tuple(record.text for record in records), labels, names)


def _lines(prompts: Prompts) -> bytes:
    columns = ("task", "distribution", "input", "output")
    rows = zip(prompts.texts, *(prompts.labels[column] for column in columns), strict=True)
    lines = []
    for text, *numbers in rows:
        category, task, x, y = (prompts.names[c][number] for c, number in zip(columns, numbers, strict=True))
        record = Record(category, task, text.removesuffix(f" {x}"), x, y)
        lines.append(json.dumps(record._asdict(), ensure_ascii=False) + "\n")
    return "".join(lines).encode()

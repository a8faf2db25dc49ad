"""Natural instructions: 16 tasks, each in many wordings, on one-word inputs (paper 3.4, appendix E, table 10).

Each task is a file in `tasks/`. It holds the task's names and description from table 10, wordings of the description,
and pairs of words. The wordings and pairs were written for this project, because the paper's are not published.
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
from clusterlm_jax.records import Prompts, UserError, check_bounds, write_atomically

DIRECTORY = Path(__file__).parent / "tasks"
FILE = "prompts.jsonl"  # of a run, in its dataset's directory
_PRESENT = ("present_simple_gerund", "present_simple_past_perfect", "present_simple_past_simple")
FOLDERS = {  # in the order of table 10; folders and files are named as Hendel et al. name theirs
    "translation": ("fr_en", "en_fr", "es_en", "en_es", "it_en", "en_it"),
    "linguistic": ("antonyms", "plural_singular", "singular_plural", *_PRESENT),
    "knowledge": ("country_capital", "location_continent", "location_religion", "person_language"),
}
FILE_OF = {stem: f"{folder}/{stem}.json" for folder, stems in FOLDERS.items() for stem in stems}
TASKS = tuple(FILE_OF)


@dataclasses.dataclass(frozen=True)
class NaturalSpec:
    """Which prompts are composed. The defaults give 16 tasks x 55 wordings x 10 pairs: the paper's 8,800 (table 2)."""

    mappings_dir: str = ""  # Hendel et al.'s folder with their JSON files; empty: our pairs
    wordings: str = ""  # a JSON file {task: [wording, ...]} with tasks named as in `TASKS`; empty: our wordings
    wordings_per_task: int = 55  # the paper asks a chat model for 50, but its total of 8,800 needs 55
    mappings_per_task: int = 10  # pairs of words of each task; the paper's

    def __post_init__(self) -> None:
        check_bounds("data", self, wordings_per_task=(1, 100_000), mappings_per_task=(1, 100_000))


@dataclasses.dataclass(frozen=True)
class NaturalTask:
    """A task of table 10.

    Attributes:
      category, task, description: as in table 10.
      wordings: different ways to say the description.
      pairs: {input word: output word}.
    """

    category: str
    task: str
    description: str
    wordings: Sequence[str]
    pairs: Mapping[str, str]


class Record(NamedTuple):
    """A prompt in a form that people can read: one line of `prompts.jsonl`."""

    category: str
    task: str
    wording: str
    input: str
    output: str

    @property
    def text(self) -> str:
        return f"{self.wording} {self.input}"


def compose(spec: NaturalSpec, seed: int) -> Prompts:
    """Combines every wording of every task with every pair of the task.

    If a task has more wordings or pairs than asked for, the seed decides which are drawn. Pairs are drawn so that
    their outputs are spread evenly (`hendel.spread`).

    Raises:
      UserError: if a user's file cannot be used, or a task has too few wordings or pairs.
    """
    wordings = read_wordings(Path(spec.wordings)) if spec.wordings else None
    records = []
    for number, stem in enumerate(TASKS):
        task = read_task(stem)
        if wordings is not None:
            task = dataclasses.replace(task, wordings=wordings.get(stem, ()))
        if spec.mappings_dir:
            task = dataclasses.replace(task, pairs=read_pairs(Path(spec.mappings_dir), FILE_OF[stem]))
        _check_enough(spec, stem, task)
        # Separate generators: asking for one wording more must not change the pairs, nor what another task draws.
        wording_rng, pair_rng = (np.random.default_rng([seed, number, stream]) for stream in range(2))
        drawn = np.sort(wording_rng.permutation(len(task.wordings))[: spec.wordings_per_task])
        pairs = spread(task.pairs, spec.mappings_per_task, pair_rng)
        records += [
            Record(task.category, task.task, task.wordings[index], x, y) for index in drawn for x, y in pairs.items()
        ]
    return numbered(records)


def read_task(stem: str) -> NaturalTask:
    """Reads the shipped file of a task; `stem` is one of `TASKS`.

    Raises:
      UserError: if an input or output is not one word.
    """
    path = DIRECTORY / FILE_OF[stem]
    task = NaturalTask(**read_object(path, "a task"))
    for x, y in task.pairs.items():
        for what, word in (("input", x), ("output", y)):
            if not is_word(word):
                raise UserError(f"{path} has the pair {x!r} -> {y!r}, whose {what} is not one word.")
    return task


def read_wordings(path: Path) -> dict[str, tuple[str, ...]]:
    """Reads a user's wordings by task, and strips the space around them. Tasks may be missing.

    Raises:
      UserError: if the file has another form, or a wording is blank or occurs twice.
    """
    wordings: dict[str, tuple[str, ...]] = {}
    task_of: dict[str, str] = {}
    for stem, texts in read_object(path, "a JSON object {task: [wording, ...]}").items():
        if stem not in TASKS:
            close = difflib.get_close_matches(stem, TASKS, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(TASKS)}."
            raise UserError(f"{path} has wordings of {stem!r}, which is not a task: {hint}")
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
    """Writes one `Record` per line, as a JSON object."""
    write_atomically(path, lambda temporary: temporary.write_bytes(_lines(prompts)))


def load(path: Path) -> Prompts:
    """Reads the prompts that `save` wrote.

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
    return numbered(records.values())


def digest(prompts: Prompts) -> str:
    """SHA-256 of the prompts and their identities; equal to the SHA-256 of the file that `save` writes."""
    return hashlib.sha256(_lines(prompts)).hexdigest()


def statistics(prompts: Prompts) -> dict[str, Any]:
    """Sizes of the prompts (for people and for table 2) and the names of the labels, as stored in `run.json`.

    Here "tasks" are the 16 tasks of table 10, which the labels call `distribution`, as the paper does. "Categories"
    are the three categories of table 10, which the labels call `task`.
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


def numbered(records: Iterable[Record]) -> Prompts:
    """Records -> prompts. Identities are numbered in the order in which they first appear."""
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
    return Prompts(tuple(record.text for record in records), labels, names)


def _check_enough(spec: NaturalSpec, stem: str, task: NaturalTask) -> None:
    ours, hendel = DIRECTORY / FILE_OF[stem], Path(spec.mappings_dir) / FILE_OF[stem]
    for key, found, where, what in (
        ("wordings_per_task", task.wordings, spec.wordings or ours, "wordings"),
        ("mappings_per_task", task.pairs, hendel if spec.mappings_dir else ours, "pairs of one word to one word"),
    ):
        if len(found) < (needed := getattr(spec, key)):
            raise UserError(
                f"data.{key} is {needed}, but {where} has only {len(found)} usable {what} for {task.task} ({stem})."
            )


def _lines(prompts: Prompts) -> bytes:
    """The content of `prompts.jsonl`."""
    columns = ("task", "distribution", "input", "output")
    rows = zip(prompts.texts, *(prompts.labels[column] for column in columns), strict=True)
    lines = []
    for text, *numbers in rows:
        category, task, x, y = (prompts.names[c][number] for c, number in zip(columns, numbers, strict=True))
        record = Record(category, task, text.removesuffix(f" {x}"), x, y)
        lines.append(json.dumps(record._asdict(), ensure_ascii=False) + "\n")
    return "".join(lines).encode()

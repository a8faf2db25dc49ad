"""A dataset on disk: `dataset.npz` for the program, `tasks.json` and `instances.tsv` for people."""

from __future__ import annotations

import csv
import hashlib
import json
import operator
import string
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from clusterlm_jax.data.spec import SYMBOLS
from clusterlm_jax.data.surface import still_matching
from clusterlm_jax.files import read_arrays
from clusterlm_jax.records import Dataset, UserError, Vocabulary, write_atomically

FILE = "dataset.npz"


def symbol_name(vocabulary: Vocabulary, token: int) -> str:
    """A readable name of a token: `a`... for instruction symbols; `A`...`Z`, then `A1`... for task symbols."""
    if token <= vocabulary.instruction_symbols:
        return SYMBOLS[token - 1]
    number, letter = divmod(token - vocabulary.instruction_symbols - 1, len(string.ascii_uppercase))
    return f"{string.ascii_uppercase[letter]}{number or ''}"


def save(dataset: Dataset, directory: Path) -> None:
    """Writes the three files. `dataset.npz` comes last, so if it exists, the other two are complete."""
    write_atomically(directory / "tasks.json", lambda path: path.write_text(_tasks_json(dataset), encoding="utf-8"))
    write_atomically(directory / "instances.tsv", lambda path: _write_instances(dataset, path))
    arrays = {
        "vocabulary": np.array([dataset.vocabulary.instruction_symbols, dataset.vocabulary.task_symbols], np.int32),
        "tokens_NT": dataset.tokens_NT,
        "length_N": dataset.length_N,
        "expressions": np.array(dataset.expressions),
        **{f"label_{name}": column for name, column in dataset.labels.items()},
        **{f"split_{name}": index for name, index in dataset.splits.items()},
    }

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    write_atomically(directory / FILE, write)


def load(directory: Path) -> Dataset:
    """Reads the dataset that `save` wrote.

    Raises:
      UserError: if it is missing or unreadable.
    """
    path = directory / FILE
    if not path.is_file():
        raise UserError(f"There is no dataset at {path}: run the 'data' stage first (config.stages).")
    try:
        arrays = read_arrays(path)
        instruction_symbols, task_symbols = map(operator.index, arrays["vocabulary"].tolist())  # whole numbers
        return Dataset(
            vocabulary=Vocabulary(instruction_symbols, task_symbols),
            tokens_NT=arrays["tokens_NT"],
            length_N=arrays["length_N"],
            labels=_with_prefix(arrays, "label_"),
            splits=_with_prefix(arrays, "split_"),
            expressions=tuple(arrays["expressions"].tolist()),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The dataset at {path} cannot be read ({error}): delete it and run the 'data' stage."
        ) from error


def digest(dataset: Dataset) -> str:
    """SHA-256 of everything in a dataset that training and analysis use."""
    sha = hashlib.sha256()
    for array in (dataset.tokens_NT, dataset.length_N, *dataset.labels.values(), *dataset.splits.values()):
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def statistics(dataset: Dataset) -> dict[str, float]:
    """Sizes of a dataset, for people and for tables 2 and 3: instances by split, identities, lengths in symbols.

    `tasks` counts identities and `similar_tasks` counts functions. They differ only if similar tasks share an identity
    (B.1); then an input has several outputs within an identity, and `outputs_per_input_mean` is above 1.
    """
    labels = dataset.labels
    questions = np.unique(np.stack([labels["task"], labels["input"]]), axis=1)
    pairs = np.unique(np.stack([labels["distribution"], labels["mapping"]]), axis=1)
    functions = {tuple(pairs[1, pairs[0] == distribution].tolist()) for distribution in np.unique(pairs[0])}
    return {
        **{name: len(index) for name, index in dataset.splits.items()},
        "tasks": len(np.unique(labels["task"])),
        "similar_tasks": len(functions),
        "hard_tasks": len(np.unique(labels["task"][labels["original"] >= 0])),
        "hard_instructions": len(np.unique(labels["instruction"][labels["original"] >= 0])),
        "hard_instructions_still_matching": len(np.unique(labels["instruction"][still_matching(dataset)])),
        "distributions": len(dataset.expressions),
        "instructions": len(np.unique(labels["instruction"])),
        "length_mean": float(dataset.length_N.mean()),
        "length_max": int(dataset.length_N.max()),
        "tasks_per_input_mean": questions.shape[1] / len(np.unique(questions[1])),
        "outputs_per_input_mean": len(np.unique(labels["mapping"])) / questions.shape[1],
    }


def words(dataset: Dataset) -> dict[str, dict[int, str]]:
    """What the values of the labels stand for, readable: instructions, expressions, input and output symbols."""
    labels = dataset.labels
    instructions, first_M = np.unique(labels["instruction"], return_index=True)
    texts = [_text(dataset, instance) for instance in first_M.tolist()]
    symbols = {
        name: {token: symbol_name(dataset.vocabulary, token) for token in np.unique(labels[name]).tolist()}
        for name in ("input", "output")
    }
    return {
        "instruction": dict(zip(instructions.tolist(), texts, strict=True)),
        "distribution": dict(enumerate(dataset.expressions)),
        **symbols,
    }


def _with_prefix(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _text(dataset: Dataset, instance: int) -> str:
    """The instruction of an instance, readable."""
    instruction = dataset.tokens_NT[instance, : dataset.length_N[instance] - 2]
    return "".join(symbol_name(dataset.vocabulary, int(token)) for token in instruction)


def _tasks_json(dataset: Dataset) -> str:
    """Tasks with their mappings and distributions; distributions with their expression and instructions.

    Mappings that all distributions of a task share are listed under the task, the others under their distribution.
    """
    labels = dataset.labels
    withheld = set(labels["instruction"][dataset.splits["validation"]].tolist())
    tasks: dict[int, dict] = {}
    for instance in range(len(dataset)):
        row = {name: int(column[instance]) for name, column in labels.items()}
        task = tasks.setdefault(row["task"], {"mappings": {}, "distributions": {}})
        if row["original"] >= 0:
            task["hard_example_of"] = row["original"]
        if row.get("target", -1) >= 0:
            task["target"] = row["target"]
        entry = task["distributions"].setdefault(
            row["distribution"],
            {"expression": dataset.expressions[row["distribution"]], "training": [], "validation": [], "mappings": {}},
        )
        name = symbol_name(dataset.vocabulary, row["input"])
        entry["mappings"][name] = symbol_name(dataset.vocabulary, row["output"])
        group = entry["validation" if row["instruction"] in withheld else "training"]
        if (text := _text(dataset, instance)) not in group:
            group.append(text)
    for task in tasks.values():
        entries = task["distributions"].values()
        common = set.intersection(*(set(entry["mappings"].items()) for entry in entries))
        for entry in entries:
            pairs = entry.pop("mappings").items()
            task["mappings"] |= dict(pair for pair in pairs if pair in common)
            if own := dict(pair for pair in pairs if pair not in common):
                entry["mappings"] = own
    return json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"


def _write_instances(dataset: Dataset, path: Path) -> None:
    membership = {name: set(index.tolist()) for name, index in dataset.splits.items()}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["splits", "text", "input_symbol", "output_symbol", *dataset.labels])
        for instance in range(len(dataset)):
            splits = "+".join(name for name, members in membership.items() if instance in members)
            row = [column[instance] for column in dataset.labels.values()]
            pair = [
                symbol_name(dataset.vocabulary, int(dataset.labels[name][instance])) for name in ("input", "output")
            ]
            writer.writerow([splits, _text(dataset, instance), *pair, *row])

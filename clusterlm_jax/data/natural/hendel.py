"""The input-output pairs of Hendel et al. (2023), which the paper uses (3.4), read from the user's copy.

Their files are not shipped, because their repository has no licence file. Their directory has the folders
`translation`, `linguistic` and `knowledge`, with one flat JSON object `{input: output}` for each task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from clusterlm_jax.data.natural.user_files import read_object
from clusterlm_jax.records import UserError

FORM = "one flat JSON object {input: output} of texts"


def read_pairs(directory: Path, relative: str) -> dict[str, str]:
    """Reads the usable pairs of one task, in the file's order: one word to one word (paper 3.4).

    Two kinds of pairs are left out, because they are no examples of the task: outputs that equal their input except
    for case, and the header of the table the file was made from ('en' -> 'fr' in `en_fr.json`).

    Args:
      directory: Hendel et al.'s folder `data`.
      relative: the task's file in that folder, such as `translation/fr_en.json`.

    Raises:
      UserError: if the directory or the file is missing, or the file has another form.
    """
    path = directory / relative
    if not directory.is_dir():
        raise UserError(f"There is no directory {directory} (data.mappings_dir).")
    if not path.is_file():
        raise UserError(
            f"{directory} has no file {relative}; data.mappings_dir must be Hendel et al.'s folder 'data', which "
            "contains translation, linguistic and knowledge."
        )
    pairs: dict[str, str] = {}
    for given, answer in read_object(path, FORM).items():
        if not isinstance(answer, str):
            raise UserError(f"{path} has {answer!r} as the output of {given!r}; it must hold {FORM}.")
        x, y = given.strip(), answer.strip()
        header = {x, y} <= set(path.stem.split("_"))
        if is_word(x) and is_word(y) and x.lower() != y.lower() and not header:
            pairs.setdefault(x, y)
    return pairs


def is_word(text: str) -> bool:
    """Whether a text is one word: not empty and without a space."""
    return text.split() == [text]


def spread(pairs: Mapping[str, str], count: int, rng: np.random.Generator) -> dict[str, str]:
    """Draws `count` pairs (or all, if there are fewer) with outputs spread as evenly as possible.

    Drawn at random, most pairs could have the same output: 705 of Hendel et al.'s 957 continents are Antarctica. So
    outputs take turns: in each round every output that has pairs left gives one, until `count` pairs are drawn. Both
    the order of the outputs and the order of an output's inputs are random.

    Returns:
      The pairs drawn, in the order of `pairs`.
    """
    inputs, outputs = list(pairs), list(dict.fromkeys(pairs.values()))
    turn = dict(zip(outputs, rng.permutation(len(outputs)).tolist(), strict=True))
    drawn: Counter[str] = Counter()
    place: dict[str, tuple[int, int]] = {}  # input -> (round, turn of its output in the round)
    for index in rng.permutation(len(inputs)):
        y = pairs[inputs[index]]
        place[inputs[index]] = (drawn[y], turn[y])
        drawn[y] += 1
    chosen = set(sorted(inputs, key=place.__getitem__)[:count])
    return {x: y for x, y in pairs.items() if x in chosen}

"""Input-output pairs of Hendel et al. (2023), who the paper takes them from (3.4): read where the user has them.

Their files are not shipped. One directory holds the folders `translation`, `linguistic` and `knowledge`, and these a
flat JSON object `{input: output}` for each task.
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
    """The usable pairs of one task: one word to one word (paper 3.4), in the file's order.

    Left out are pairs that no task explains: an output equal to its input but for case, and the header of the table a
    file was made from, which names the two columns as the file's own name does ('en' -> 'fr' in `en_fr.json`).

    Args:
      directory: Hendel et al.'s folder `data`.
      relative: the task's file in it, such as `translation/fr_en.json`.

    Raises:
      UserError: if the directory or the file is missing, or the file is of another form.
    """
    path = directory / relative
    if not directory.is_dir():
        raise UserError(f"There is no directory {directory} (data.mappings_dir).")
    if not path.is_file():
        raise UserError(
            f"{directory} has no file {relative}; data.mappings_dir must be Hendel et al.'s folder 'data', with "
            "translation, linguistic and knowledge in it."
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
    """Whether a text is one word: neither empty nor with a space in it."""
    return text.split() == [text]


def spread(pairs: Mapping[str, str], count: int, rng: np.random.Generator) -> dict[str, str]:
    """Draws `count` pairs, or all there are, with the outputs as even as they can be; in the given order.

    Outputs take turns, in an order drawn at random; each gives its inputs in an order drawn at random. So no output
    has two pairs more than another, unless the other has no more.
    """
    inputs, outputs = list(pairs), list(dict.fromkeys(pairs.values()))
    turn = dict(zip(outputs, rng.permutation(len(outputs)).tolist(), strict=True))
    drawn: Counter[str] = Counter()
    place: dict[str, tuple[int, int]] = {}  # input -> its round, the turn of its output
    for index in rng.permutation(len(inputs)):
        y = pairs[inputs[index]]
        place[inputs[index]] = (drawn[y], turn[y])
        drawn[y] += 1
    chosen = set(sorted(inputs, key=place.__getitem__)[:count])
    return {x: y for x, y in pairs.items() if x in chosen}

"""Every number that the paper reports and a page compares with ours."""

from __future__ import annotations

import dataclasses
import itertools

from clusterlm_jax.report.words import LABELS, SCORE_WORDS

BEST_EPOCH = 51  # section 3.2
SIZES = {"training": 7300, "training_subset": 180, "validation": 315}  # table 2
PROMPTS = 8800  # table 2, natural instructions
PARAMETERS = {32: "55 thousand", 256: "3 million", 768: "23 million", 2048: "202 million"}  # table 9, by width
STRONG = 0.6  # the dotted line of figure 15

# The figures that the paper draws of other runs as figures 2, 3, 4 and 6 of the main one.
MAIN = {number: number for number in ("2", "3", "4", "6a", "6b", "15")}
SEEDS = {"2": "11", "3": "13", "4": "12", "6a": "11a", "6b": "11b"}
SIMILAR = {"2": "14", "6a": "14a", "6b": "14b"}
WIDTHS = {
    32: {"2": "7", "4": "8", "6a": "7a", "6b": "7b"},
    2048: {"2": "9", "4": "10", "6a": "9a", "6b": "9b"},
}

ALIGNMENT = {  # table 11: source accuracy, accuracy drop
    "direct": (1.00, 0.210),
    "head": (1.00, 0.120),
    "linear_switch": (1.00, 0.087),
    "mlp_switch": (1.00, 0.080),
}

NINE = tuple(itertools.product(LABELS, SCORE_WORDS))  # the columns of table 1: (label, score)


@dataclasses.dataclass(frozen=True)
class PaperModel:
    """A row of table 1, its scores in the order of `NINE`, with the model's size by table 9."""

    name: str
    hidden_dim: int
    parameters: str
    scores: tuple[float, ...]


MODELS = {  # in the paper's order, by the name of the checkpoint in small letters
    "open_llama_7b": PaperModel(
        "LLaMa-7B", 4096, "7 billion", (0.959, 0.872, 0.869, 0.571, 0.438, 0.673, 0.940, 0.903, 0.974)
    ),
    "open_llama_13b": PaperModel(
        "LLaMa-13B", 5120, "13 billion", (0.953, 0.855, 0.854, 0.546, 0.381, 0.645, 0.936, 0.893, 0.969)
    ),
    "gpt-j-6b": PaperModel(
        "GPT-J-6B", 4096, "6 billion", (0.887, 0.697, 0.665, 0.652, 0.485, 0.653, 0.465, 0.345, 0.602)
    ),
    "llama-2-7b-32k-instruct": PaperModel(
        "LLaMa-2-7B-Instruct", 4096, "7 billion", (0.917, 0.756, 0.780, 0.563, 0.339, 0.638, 0.932, 0.890, 0.966)
    ),
    "instruct-gpt-j-fp16": PaperModel(
        "Instruct-GPT-J-6B", 4096, "6 billion", (0.907, 0.749, 0.692, 0.471, 0.290, 0.516, 0.170, 0.084, 0.342)
    ),
}

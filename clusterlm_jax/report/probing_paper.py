"""What the paper reports of open language models: its tables 1, 2 and 9, to stand beside ours."""

from __future__ import annotations

import dataclasses
import itertools

from clusterlm_jax.report.figures import LABELS
from clusterlm_jax.report.words import SCORE_WORDS

NINE = tuple(itertools.product(LABELS, SCORE_WORDS))
"""The columns of table 1: (label, score)."""
PROMPTS = 8800  # table 2


@dataclasses.dataclass(frozen=True)
class PaperModel:
    """A row of table 1, its numbers in the order of `NINE`, with the model's size by table 9."""

    name: str
    hidden_dim: int
    parameters: str
    scores: tuple[float, ...]


MODELS = {
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
"""The paper's models, in its order, by the name of the checkpoint in small letters."""

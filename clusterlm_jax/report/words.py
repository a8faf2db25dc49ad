"""The words a reader sees for the names in the rows."""

from __future__ import annotations

from clusterlm_jax.records import FINAL_NORM

REDUCERS = {"none": "no reduction", "tsne": "t-SNE, 3 components"}  # the paper's
SHORT_REDUCERS = {"none": "no reduction", "tsne": "t-SNE"}
INPUT_REMOVED = "input_removed"
SPACES = REDUCERS | {INPUT_REMOVED: "input symbol's mean removed"}
LABEL_WORDS = {
    "task": "task",
    "distribution": "distribution",
    "distribution_mapping": "distribution-mapping",
    "mapping": "mapping",
    "input": "input symbol",
    "output": "output symbol",
    "position": "position",
}
SPLIT_WORDS = {"training_subset": "training subset", "validation": "validation"}
SCORE_WORDS = {"f1": "F1", "ari": "ARI", "ami": "AMI"}


def layer_words(layer: str) -> str:
    return {FINAL_NORM: "final norm", "0": "embedding (0)"}.get(layer, f"layer {layer}")


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"

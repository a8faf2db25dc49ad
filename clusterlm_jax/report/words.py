"""The words a reader sees for the names in the rows."""

from __future__ import annotations

from clusterlm_jax.records import FINAL_NORM

REDUCERS = {"none": "no reduction", "tsne": "t-SNE, 3 components"}  # the paper's
SHORT_REDUCERS = {"none": "no reduction", "tsne": "t-SNE"}
INPUT_REMOVED = "input_removed"
SPACES = REDUCERS | {INPUT_REMOVED: "input symbol's mean removed"}
LABELS = ("task", "distribution", "distribution_mapping")  # the columns of the paper's figures 2 and 6
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
F1_DEFINITIONS = {
    "f1": "f1: clusters matched one to one with classes, mean over classes",
    "f1_majority": "f1_majority: each cluster takes its majority class",
    "f1_max_overlap": "f1_max_overlap: each class takes its best cluster",
    "f1_pairwise": "f1_pairwise: over pairs of instances",
    "f1_bcubed": "f1_bcubed: B-cubed, over instances",
    "purity": "purity",
}
# Null baselines: what a clustering scores when it holds no task information (not in the paper).
NULLS = {
    "symbols": "bag of instruction symbols",
    "untrained": "untrained model",
    "regrouped": "shuffled distributions",
    "shuffled": "shuffled labels",
}


def counted(number: int, noun: str) -> str:
    """`1 layer`, `6 layers`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def layer_words(layer: str) -> str:
    return {FINAL_NORM: "final norm", "0": "embedding (0)"}.get(layer, f"layer {layer}")


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def capitalised(words: str) -> str:
    """The first letter large, the others as they are (`str.capitalize` would lower them)."""
    return words[:1].upper() + words[1:]

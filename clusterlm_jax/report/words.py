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
INSTRUMENT_WORDS = {
    "across": "neighbours of other distributions",
    "across_same_input": "the same, with the same input symbol",
    "across_other_input": "the same, with another input symbol",
    "probe_validation": "linear probe, validation instructions",
    "probe_training": "linear probe, training instructions",
    "within_input_f1": "inside an input symbol, F1",
    "within_input_ari": "inside an input symbol, ARI",
    "within_input_ami": "inside an input symbol, AMI",
    "tree_f1": "Ward's tree, best F1 of all cuts",
    "tree_clusters": "Ward's tree, clusters of that cut",
    "silhouette": "silhouette",
    "nc1": "variability within over between (NC1)",
}


def layer_words(layer: str) -> str:
    return {FINAL_NORM: "final norm", "0": "embedding (0)"}.get(layer, f"layer {layer}")


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"

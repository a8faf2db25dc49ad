"""Hidden states of one's own: which layer clusters by which label?

    .venv/bin/python -m clusterlm_jax.main --config=configs/states.py --config.states=FILE --workdir=runs/mine

FILE is an `.npz` or `.safetensors` with `hidden` [layer, instance, width] and the labels, each under a name of its own;
`clusterlm_jax/experiments/states/file.py` says what else may be in it. `examples/pytorch_hidden_states.py` writes one.
The rows in `scores.csv` are those of `clusterlm_jax.cluster_layers`.

`configs/states.py:quick` makes the analysis cheaper: t-SNE of 500 steps, KMeans from one start.
"""

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.default("states")
    if "quick" in forms:
        config.eval.tsne_iterations = 500
        config.eval.kmeans_restarts = 1
    return config

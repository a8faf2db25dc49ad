"""The main experiment: clusters by task emerge in a GPT-2 (paper 3.1 to 3.3)."""

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.default("emergence")
    if "quick" in forms:
        config.model.hidden_dim = 64
        config.train.epochs = 3
        config.train.learning_rate = 1e-3
        config.eval.every = 1
        config.eval.tsne_iterations = 250
    return config

"""Do the clusters do anything? Causal tests on a finished main run (ours: the paper names their lack as a limit)."""

from clusterlm_jax import config as configuration


def get_config(argument: str = "") -> configuration.config_dict.ConfigDict:
    forms = configuration.forms(argument, allowed=("quick",))
    config = configuration.default("causal")
    config.run = "runs/quick" if "quick" in forms else "runs/synthetic"
    return config

"""The figures of probed models over the layers: scores, and what explains the spread of the states."""

from __future__ import annotations

from clusterlm_jax.experiments.probing.scatter import scatter
from clusterlm_jax.report.layers import figures as layers
from clusterlm_jax.report.page import figure

over_layers = figure(
    "figure_probing_layers",
    "Clusters over the layers, behind table 1",
    "The paper reports one layer, the one with the best task F1; ours is the diamond. Where the model is one of the "
    "paper's, a level line of dashes and dots is its table 1. Hollow: the state after the final norm. Of one model "
    "both reducers are drawn, and the null baselines with the chosen one. Of several models each is drawn with its "
    "chosen reducer; one with random weights is dotted, and is itself a null.",
)(layers.over_layers)

spread = figure(
    "figure_probing_spread",
    "What explains the spread of the states",
    "The between-group share of the variance of the raw states, without any clustering: what KMeans has to follow. "
    "The position is that of the last token: prompts differ in length.",
)(layers.spread)

FIGURES = (over_layers, scatter, spread)

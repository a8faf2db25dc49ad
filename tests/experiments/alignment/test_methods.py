"""Methods have names for people."""

from __future__ import annotations

import pytest

from clusterlm_jax.experiments.alignment.methods import method_words


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("direct", "direct fine-tuning"),
        ("linear_switch/examples=1", "linear switch, 1 example of each other task"),
        ("mlp_switch/layer=3", "MLP switch, layer 3"),
        ("mlp_switch/layer=final_norm", "MLP switch, final norm"),
        ("kmeans_switch/task", "nearest KMeans centroid, with as many clusters as tasks"),
    ],
)
def test_methods_have_names_for_people(run, words):
    assert method_words(run) == words

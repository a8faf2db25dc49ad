"""The settings of the analysis: the paper's by default, and wrong values are refused by name."""

from __future__ import annotations

import pytest

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import UserError


def test_the_defaults_are_the_settings_of_tables_5_to_7() -> None:
    spec = AnalysisSpec()
    assert (spec.tsne_components, spec.tsne_perplexity, spec.tsne_iterations) == (3, 10, 2000)
    assert (spec.kmeans_iterations, spec.neighbours) == (300, 10)
    assert spec.labels[:3] == ("task", "distribution", "distribution_mapping")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("every", 0),
        ("labels", ()),
        ("labels", ("task", "tasks")),
        ("labels", "task"),
        ("jobs", ("raw", "umap")),
        ("tsne_components", 1),
        ("tsne_perplexity", 0.0),
        ("tsne_perplexity", float("nan")),
        ("tsne_iterations", 249),
        ("kmeans_restarts", 0),
        ("kmeans_iterations", 0),
        ("neighbours", 0),
        ("null_draws", -1),
        ("backend", "torch"),
        ("workers", -1),
        ("queue", 0),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^eval\.{name} is ") as refusal:
        AnalysisSpec(**{name: value})
    assert repr(value) in str(refusal.value)

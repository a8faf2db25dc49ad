"""Rows recomputed from the saved hidden states by plain scikit-learn calls, as a sceptic would."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from clusterlm_jax.analysis.table import read_rows


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("job", ["raw", "tsne"])
@pytest.mark.parametrize("split", ["training_subset", "validation"])
@pytest.mark.parametrize("layer", ["0", "1", "final_norm"])
def test_plain_scikit_learn_calls_on_saved_states_give_the_rows(
    undisturbed: Path, job: str, split: str, layer: str
) -> None:
    """Exactly, with the documented settings and the seed of the cell's name, from the files alone."""
    saved = undisturbed / "hidden/main/seed=0/epoch=0000" / split
    points, labels = np.load(saved / f"{layer}.npy"), dict(np.load(saved / "labels.npz"))
    labels["distribution_mapping"] = labels["distribution"] * 1000 + labels["mapping"]
    seed = _seed(f"main/seed=0/epoch=0/{split}/layer={layer}/{job}")
    if job == "tsne":
        points = TSNE(3, perplexity=10, max_iter=250, init="pca", random_state=seed).fit_transform(points)
    reducer = {"raw": "none", "tsne": "tsne"}[job]
    values = {
        (row.label, row.score): row.value
        for row in read_rows(undisturbed / "scores.csv")
        if (row.split, row.layer, row.reducer) == (split, layer, reducer)
    }
    for label in ("task", "distribution", "distribution_mapping", "mapping", "input", "output"):
        k = len(set(labels[label].tolist()))
        clusters = _kmeans(points, k, seed)
        assert values[label, "ari"] == adjusted_rand_score(labels[label], clusters)
        assert values[label, "ami"] == adjusted_mutual_info_score(labels[label], clusters)
        majority = sum(np.bincount(labels[label][clusters == cluster]).max() for cluster in set(clusters))
        assert values[label, "purity"] == majority / len(clusters)


def _kmeans(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    return KMeans(k, init="k-means++", n_init=2, max_iter=300, algorithm="lloyd", random_state=seed).fit_predict(points)


@pytest.mark.parametrize("split", ["training_subset", "validation"])
def test_null_labels_dealt_by_hand_give_the_rows(undisturbed: Path, split: str) -> None:
    """Two draws each, from the generator of the null label's name. Breaks when a process draws otherwise, or when the
    clustering is not that of the label imitated."""
    saved, cell = undisturbed / "hidden/main/seed=0/epoch=0000" / split, f"main/seed=0/epoch=0/{split}/layer=1/raw"
    points, labels = np.load(saved / "1.npy"), dict(np.load(saved / "labels.npz"))
    rows = [row for row in read_rows(undisturbed / "scores.csv") if (row.split, row.layer) == (split, "1")]
    values = {(row.label, row.score): row.value for row in rows if row.reducer == "none"}
    for label in ("task", "distribution"):
        clusters = _kmeans(points, len(set(labels[label].tolist())), _seed(cell))
        rng = np.random.default_rng(_seed(f"{cell}/shuffled_{label}"))
        scores = [adjusted_rand_score(rng.permutation(labels[label]), clusters) for _ in range(2)]
        assert values[f"shuffled_{label}", "ari"] == pytest.approx(sum(scores) / 2)
    task_of = dict(sorted(zip(labels["distribution"].tolist(), labels["task"].tolist(), strict=True)))
    clusters, rng, scores = _kmeans(points, 4, _seed(cell)), np.random.default_rng(_seed(f"{cell}/regrouped_task")), []
    for _ in range(2):
        dealt = dict(zip(task_of, rng.permutation(list(task_of.values())), strict=True))
        null = [dealt[distribution] for distribution in labels["distribution"].tolist()]
        scores.append(adjusted_mutual_info_score(null, clusters))
    assert values["regrouped_task", "ami"] == pytest.approx(sum(scores) / 2)


def _seed(name: str) -> int:
    digest = hashlib.sha256(name.encode()).digest()
    return digest[0] + 256 * (digest[1] + 256 * (digest[2] + 256 * digest[3]))


def test_plain_scikit_learn_neighbours_of_saved_states_give_the_rows(undisturbed: Path) -> None:
    """At a layer without ties."""
    saved = undisturbed / "hidden/main/seed=0/epoch=0000"
    reference, query = (dict(np.load(saved / split / "labels.npz")) for split in ("training", "validation"))
    neighbours = NearestNeighbors(n_neighbors=10, p=2).fit(np.load(saved / "training/1.npy"))
    index_QK = neighbours.kneighbors(np.load(saved / "validation/1.npy"), return_distance=False)
    share = (reference["task"][index_QK] == query["task"][:, None]).mean()
    values = {
        row.label: row.value
        for row in read_rows(undisturbed / "scores.csv")
        if (row.layer, row.score) == ("1", "knn_percentage")
    }
    assert values["task"] == share
    rng = np.random.default_rng(_seed("main/seed=0/epoch=0/validation/layer=1/knn/shuffled_task"))
    dealt = [(rng.permutation(reference["task"])[index_QK] == query["task"][:, None]).mean() for _ in range(2)]
    assert values["shuffled_task"] == pytest.approx(sum(dealt) / 2)

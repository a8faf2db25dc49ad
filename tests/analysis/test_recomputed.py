"""Rows are computed again from the saved hidden states by plain calls of scikit-learn and scipy."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, silhouette_score
from sklearn.neighbors import NearestNeighbors

from clusterlm_jax.analysis.scores import score_all
from clusterlm_jax.analysis.table import read_rows


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("job", ["raw", "tsne"])
@pytest.mark.parametrize("split", ["training_subset", "validation"])
@pytest.mark.parametrize("layer", ["0", "1", "final_norm"])
def test_plain_scikit_learn_calls_on_saved_states_give_the_rows(
    undisturbed: Path, job: str, split: str, layer: str
) -> None:
    """Exactly equal, from the files alone, with the documented settings and the seed of the cell's name."""
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
def test_null_labels_drawn_by_hand_give_the_rows(undisturbed: Path, split: str) -> None:
    """Two draws each, from the generator of the null label's name.

    Breaks when another process draws differently, or when the clustering is not that of the imitated label.
    """
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
        regrouped = dict(zip(task_of, rng.permutation(list(task_of.values())), strict=True))
        null = [regrouped[distribution] for distribution in labels["distribution"].tolist()]
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
    index_QP = neighbours.kneighbors(np.load(saved / "validation/1.npy"), return_distance=False)
    share = (reference["task"][index_QP] == query["task"][:, None]).mean()
    values = {
        row.label: row.value
        for row in read_rows(undisturbed / "scores.csv")
        if (row.layer, row.score) == ("1", "knn_percentage")
    }
    assert values["task"] == share
    rng = np.random.default_rng(_seed("main/seed=0/epoch=0/validation/layer=1/knn/shuffled_task"))
    shares = [(rng.permutation(reference["task"])[index_QP] == query["task"][:, None]).mean() for _ in range(2)]
    assert values["shuffled_task"] == pytest.approx(sum(shares) / 2)


def _values(undisturbed: Path, split: str, layer: str) -> dict[tuple[str, str], float]:
    """The values of a layer in the table, without reducer, by (label, score)."""
    return {
        (row.label, row.score): row.value
        for row in read_rows(undisturbed / "scores.csv")
        if (row.split, row.layer, row.reducer) == (split, layer, "none")
    }


@pytest.mark.parametrize("split", ["training_subset", "validation"])
def test_neighbours_across_distributions_of_saved_states_give_the_rows(undisturbed: Path, split: str) -> None:
    """From one sorted list of distances per instance, at a layer without ties."""
    saved = undisturbed / "hidden/main/seed=0/epoch=0000"
    reference, query = (dict(np.load(saved / name / "labels.npz")) for name in ("training", split))
    points, queries = np.load(saved / "training/1.npy"), np.load(saved / split / "1.npy")
    shares = []
    for index, point in enumerate(queries):
        others = np.flatnonzero(reference["distribution"] != query["distribution"][index])
        nearest = others[np.argsort(np.linalg.norm(points[others].astype(float) - point, axis=1))[:10]]
        own = reference["task"] == query["task"][index]
        shares.append((own[nearest].mean(), own[others].mean()))
    values = _values(undisturbed, split, "1")
    found = values["task", "across"], values["shuffled_task", "across"]
    assert found == pytest.approx(tuple(np.mean(shares, axis=0)))


@pytest.mark.parametrize("layer", ["1", "final_norm"])
def test_probes_fitted_to_saved_states_give_the_rows(undisturbed: Path, layer: str) -> None:
    """Every task has two distributions. The generator of the seed decides which one is learned first."""
    saved = undisturbed / "hidden/main/seed=0/epoch=0000"
    reference, query = (dict(np.load(saved / split / "labels.npz")) for split in ("training", "validation"))
    points, queries = (np.load(saved / split / f"{layer}.npy") for split in ("training", "validation"))
    rng, first = np.random.default_rng(_seed("seed=0/probe/task")), []
    for task in range(4):
        first.append(rng.permutation(np.unique(reference["distribution"][reference["task"] == task]))[0])
    mean, scale, right = points.mean(axis=0), points.var(axis=0).mean() ** 0.5, []
    for half in (True, False):
        learnt = np.isin(reference["distribution"], first) == half
        probe = LogisticRegression(C=1, max_iter=500).fit((points[learnt] - mean) / scale, reference["task"][learnt])
        unseen = np.isin(query["distribution"], first) != half
        right += (probe.predict((queries[unseen] - mean) / scale) == query["task"][unseen]).tolist()
    assert len(right) == len(queries)
    assert _values(undisturbed, "validation", layer)["task", "probe_validation"] == pytest.approx(np.mean(right))


@pytest.mark.parametrize("split", ["training_subset", "validation"])
def test_silhouettes_and_cuts_of_saved_states_give_the_rows(undisturbed: Path, split: str) -> None:
    """From scikit-learn's silhouette of the states, and scipy's clusters at the number of clusters in the table."""
    saved, values = undisturbed / "hidden/main/seed=0/epoch=0000" / split, _values(undisturbed, split, "1")
    points, labels = np.load(saved / "1.npy"), dict(np.load(saved / "labels.npz"))
    labels["distribution_mapping"] = labels["distribution"] * 1000 + labels["mapping"]
    tree = linkage(points.astype(float), "ward")
    for label in ("task", "distribution", "distribution_mapping", "mapping", "input", "output"):
        assert values[label, "silhouette"] == pytest.approx(silhouette_score(points, labels[label]), abs=1e-5)
        clusters = fcluster(tree, int(values[label, "tree_clusters"]), "maxclust")
        assert values[label, "tree_f1"] == pytest.approx(score_all(labels[label], clusters, ("f1",))["f1"])


@pytest.mark.parametrize("split", ["training_subset", "validation"])
def test_clusters_within_inputs_of_saved_states_give_the_rows(undisturbed: Path, split: str) -> None:
    """The seed comes from the cell's name and the input's token id."""
    saved, cell = (
        undisturbed / "hidden/main/seed=0/epoch=0000" / split,
        f"main/seed=0/epoch=0/{split}/layer=1/within_input",
    )
    points, labels = np.load(saved / "1.npy"), dict(np.load(saved / "labels.npz"))
    scores = []
    for symbol in range(40, 45):
        here = labels["input"] == symbol
        tasks = labels["task"][here]
        clusters = _kmeans(points[here], len(set(tasks.tolist())), _seed(f"{cell}/input={symbol}"))
        scores.append((adjusted_rand_score(tasks, clusters), adjusted_mutual_info_score(tasks, clusters)))
    values = _values(undisturbed, split, "1")
    found = values["task", "within_input_ari"], values["task", "within_input_ami"]
    assert found == pytest.approx(tuple(np.mean(scores, axis=0)))

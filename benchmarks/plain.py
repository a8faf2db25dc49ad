"""Every job of the analysis as one would write it otherwise: a plain loop over scikit-learn, scipy and numpy.

The settings and the number of null draws are ours, the values are those of our rows but for other random draws, and
the threads are the libraries' defaults. What no library has (the F1 of a table of counts, NC1, how labels are drawn)
is ours here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from clusterlm_jax.analysis.instruments.geometry import nc1
from clusterlm_jax.analysis.nulls import NULL_SCORES, draw, nulls_of, task_nulls_of
from clusterlm_jax.analysis.scores import FROM_TABLE, SCORES
from clusterlm_jax.analysis.spec import AnalysisSpec

FROM_LABELS = {"ari": adjusted_rand_score, "ami": adjusted_mutual_info_score}


class Layer(NamedTuple):
    """The states of one layer of a split, and of the training set, with their labels by name."""

    hidden_ND: np.ndarray
    labels: Mapping[str, np.ndarray]
    reference_MD: np.ndarray
    references: Mapping[str, np.ndarray]


def raw(layer: Layer, spec: AnalysisSpec, rng: np.random.Generator) -> dict:
    return clustered(layer.hidden_ND, layer.labels, spec, rng)


def tsne(layer: Layer, spec: AnalysisSpec, rng: np.random.Generator) -> dict:
    reducer = TSNE(spec.tsne_components, perplexity=spec.tsne_perplexity, max_iter=spec.tsne_iterations, init="pca")
    return clustered(reducer.fit_transform(layer.hidden_ND), layer.labels, spec, rng)


def residual(layer: Layer, spec: AnalysisSpec, rng: np.random.Generator) -> dict:
    left_ND = layer.hidden_ND.copy()
    for symbol in np.unique(layer.labels["input"]):
        mean_D = layer.reference_MD[layer.references["input"] == symbol].mean(axis=0)
        left_ND[layer.labels["input"] == symbol] -= mean_D
    return clustered(left_ND, layer.labels, spec, rng)


def knn(layer: Layer, spec: AnalysisSpec, rng: np.random.Generator) -> dict:
    found = NearestNeighbors(n_neighbors=spec.neighbours).fit(layer.reference_MD)
    index_NP = found.kneighbors(layer.hidden_ND, return_distance=False)
    task_N, task_M = layer.labels["task"], layer.references["task"]
    values = {"knn_percentage": (task_M[index_NP] == task_N[:, None]).mean()}
    for label in ("task", "output"):
        voted = KNeighborsClassifier(spec.neighbours).fit(layer.reference_MD, layer.references[label])
        values[label, "knn_accuracy"] = (voted.predict(layer.hidden_ND) == layer.labels[label]).mean()
    for null in task_nulls_of(spec):
        draws = [draw(null, layer.references, rng) for _ in range(spec.null_draws)]
        values[null] = np.mean([(task_M[index_NP] == task_N[:, None]).mean() for task_M in draws])
    return values


def across(layer: Layer, spec: AnalysisSpec, rng: np.random.Generator) -> dict:
    distance_NM = euclidean_distances(layer.hidden_ND, layer.reference_MD)
    same = {name: layer.references[name] == layer.labels[name][:, None] for name in ("task", "distribution", "input")}
    values, other_NM = {}, ~same["distribution"]
    for name, allowed_NM in (
        ("across", other_NM),
        ("across_same_input", other_NM & same["input"]),
        ("across_other_input", other_NM & ~same["input"]),
    ):
        allowed_distance_NM = np.where(allowed_NM, distance_NM, np.inf)
        index_NP = np.argpartition(allowed_distance_NM, spec.neighbours, axis=1)[:, : spec.neighbours]
        values[name] = np.take_along_axis(same["task"], index_NP, axis=1).mean()
        values["chance", name] = ((same["task"] & allowed_NM).sum(axis=1) / allowed_NM.sum(axis=1)).mean()
    return values


def probe(layer: Layer, spec: AnalysisSpec, rng: np.random.Generator) -> dict:
    values = {}
    scale = layer.reference_MD.std()
    for label in ("task", "regrouped_task"):
        task_M = layer.references["task"] if label == "task" else draw(label, layer.references, rng)
        first_M = rng.permutation(layer.references["distribution"].max() + 1)[layer.references["distribution"]] % 2 == 0
        for half_M in (first_M, ~first_M):
            fitted = LogisticRegression(max_iter=1000).fit(layer.reference_MD[half_M] / scale, task_M[half_M])
            values[label] = (fitted.predict(layer.reference_MD[~half_M] / scale) == task_M[~half_M]).mean()
            values[label, "validation"] = fitted.predict(layer.hidden_ND / scale)
    return values


def geometry(layer: Layer, spec: AnalysisSpec, rng: np.random.Generator) -> dict:
    values = {}
    for label in spec.labels:
        values[label] = (
            silhouette_score(layer.hidden_ND, layer.labels[label]),
            nc1(layer.hidden_ND, layer.labels[label]),
        )
    for null in task_nulls_of(spec):
        draws = [draw(null, layer.labels, rng) for _ in range(spec.null_draws)]
        values[null] = np.mean([silhouette_score(layer.hidden_ND, label_N) for label_N in draws])
    return values


def tree(layer: Layer, spec: AnalysisSpec, rng: np.random.Generator) -> dict:
    ward = linkage(layer.hidden_ND, "ward")
    cuts = [fcluster(ward, height, "distance") for height in (0, *np.unique(ward[:, 2]))]
    drawn = [draw(null, layer.labels, rng) for null in task_nulls_of(spec) for _ in range(spec.null_draws)]
    columns = [*(layer.labels[label] for label in spec.labels), *drawn]
    return {
        place: max(FROM_TABLE["f1"](contingency_matrix(label_N, cut)) for cut in cuts)
        for place, label_N in enumerate(columns)
    }


def within_input(layer: Layer, spec: AnalysisSpec, rng: np.random.Generator) -> dict:
    values = {}
    for symbol in np.unique(layer.labels["input"]):
        here_N = layer.labels["input"] == symbol
        inside = {name: column[here_N] for name, column in layer.labels.items()}
        tasks = len(np.unique(inside["task"]))
        if tasks > 1:
            found_N = KMeans(tasks, n_init=spec.kmeans_restarts).fit_predict(layer.hidden_ND[here_N])
            values[symbol] = scored(inside["task"], found_N, NULL_SCORES)
            for null in task_nulls_of(spec):
                values[symbol, null] = null_mean(null, inside, found_N, spec, rng)
    return values


def clustered(
    points_ND: np.ndarray, labels: Mapping[str, np.ndarray], spec: AnalysisSpec, rng: np.random.Generator
) -> dict:
    """KMeans for every label, with all scores and null labels."""
    values, found = {}, {}
    for label in spec.labels:
        k = len(np.unique(labels[label]))
        found[label] = KMeans(k, n_init=spec.kmeans_restarts, max_iter=spec.kmeans_iterations).fit_predict(points_ND)
        values[label] = scored(labels[label], found[label], SCORES)
    for null, label in nulls_of(spec).items():
        values[null] = null_mean(null, labels, found[label], spec, rng)
    return values


def null_mean(
    null: str, labels: Mapping[str, np.ndarray], found_N: np.ndarray, spec: AnalysisSpec, rng: np.random.Generator
) -> np.ndarray:
    draws = [scored(draw(null, labels, rng), found_N, NULL_SCORES) for _ in range(spec.null_draws)]
    return np.mean(draws, axis=0)


def scored(label_N: np.ndarray, found_N: np.ndarray, names: tuple[str, ...]) -> list[float]:
    table_CK = contingency_matrix(label_N, found_N)
    return [
        FROM_LABELS[name](label_N, found_N) if name in FROM_LABELS else FROM_TABLE[name](table_CK) for name in names
    ]


JOBS = {
    "raw": raw, "tsne": tsne, "knn": knn, "residual": residual, "across": across, "probe": probe, "geometry": geometry,
    "tree": tree, "within_input": within_input,
}  # fmt: skip

"""Which layer's t-SNE space a page shows."""

from __future__ import annotations

from clusterlm_jax.report.layers.scores import LayerScores
from clusterlm_jax.report.spec import ReportSpec


def layer_shown(subject: LayerScores, spec: ReportSpec) -> str:
    """The layer asked for, else the chosen one, else the best of those that have coordinates; empty if none has."""
    there = [layer for layer in subject.layers if layer in subject.embeddings]
    if spec.scatter_layer:
        return spec.scatter_layer if spec.scatter_layer in there else ""
    if not subject.clusterings or not there:
        return ""
    curve = subject.curve(reducer="tsne")
    return subject.chosen.layer if subject.chosen.layer in there else max(there, key=lambda layer: curve.get(layer, 0))

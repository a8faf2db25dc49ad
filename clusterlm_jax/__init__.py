"""Do task clusters emerge in the hidden states of a model that learns to follow instructions? (arXiv 2402.12151)

For hidden states and models of one's own:

    cluster_layers   states and labels -> score rows
    capture          a Flax module and its inputs -> states of every layer
    load_pretrained  a LLaMA or GPT-J checkpoint -> module, variables, tokenizer
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clusterlm_jax.extraction.capture import capture
    from clusterlm_jax.extraction.pretrained import load_pretrained
    from clusterlm_jax.library import cluster_layers

__all__ = ["capture", "cluster_layers", "load_pretrained"]
_HOMES = {
    "cluster_layers": "clusterlm_jax.library",
    "capture": "clusterlm_jax.extraction.capture",
    "load_pretrained": "clusterlm_jax.extraction.pretrained",
}


def __getattr__(name: str) -> Any:
    """Imports a function when it is first asked for (PEP 562): jax and scikit-learn take seconds to import."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

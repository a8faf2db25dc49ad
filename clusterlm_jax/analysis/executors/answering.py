"""What every worker does with a cell, wherever it runs."""

from __future__ import annotations

import platform
import traceback
from collections.abc import Sequence
from pathlib import Path

from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.scoring.requests import Answer
from clusterlm_jax.analysis.scoring.scorer import Scorer
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import Cell, ScoreRow, UserError


def answer(
    cell: Cell, answered: Sequence[Answer] | None, spec: AnalysisSpec, hidden: Path, embeddings: Path | None
) -> tuple[ScoreRow, ...] | str:
    """The rows of a cell, or what went wrong in words: an exception would mean that the worker failed, not the cell.

    Args:
      answered: what a central engine answered to the cell; without it, this process clusters too.
      hidden: the directory of the hidden states.
      embeddings: the directory for the coordinates of t-SNE cells; None keeps none.
    """
    if not hidden.is_dir():  # HiddenStore would tell of the stages of a run
        return (
            f"the worker on {platform.node()} does not see {hidden}: workers need a disk that they share with the run."
        )
    try:
        scorer, states = Scorer(spec, embeddings), HiddenStore(hidden)
        if answered is not None:
            return scorer.rows(cell, states, answered)
        [(_, rows)] = scorer.score([cell], states)
        return rows
    except (UserError, OSError) as error:  # a full disk
        return str(error)
    except Exception:  # the evaluator reports it; it cannot see this process's errors otherwise
        return traceback.format_exc()

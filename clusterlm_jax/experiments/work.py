"""What the stages of a run share, opened once: its work directory, score table, hidden states and evaluator."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterable

from clusterlm_jax import processes, progress
from clusterlm_jax.analysis.evaluator import Evaluator
from clusterlm_jax.analysis.hidden_store import HiddenStore, OthersStore
from clusterlm_jax.analysis.table import ScoreTable
from clusterlm_jax.records import Cell
from clusterlm_jax.settings import Settings
from clusterlm_jax.workdir import WorkDir


class Work:
    """Where stages leave what they make; a context manager. What no stage asks for is never opened.

    Attributes:
      dir: the work directory.
      spec: how hidden states are analysed.
    """

    def __init__(self, config: Settings, workdir: WorkDir) -> None:
        self.dir, self.config = workdir, config
        # As the directory was claimed: with "auto", one that has rows goes on with their backend.
        claimed = workdir.read_json("config.json").get("eval", {})
        self.spec = dataclasses.replace(config.eval, backend=claimed.get("backend", config.eval.backend))
        self._scores = "analyse" in config.stages
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *_) -> None:
        self._open.close()

    @functools.cached_property
    def table(self) -> ScoreTable:
        return ScoreTable(self.dir.scores, self.spec)

    @functools.cached_property
    def store(self) -> HiddenStore:
        return HiddenStore(self.dir.hidden, owner=True) if processes.leads() else OthersStore(self.dir.hidden)

    @functools.cached_property
    def evaluator(self) -> Evaluator | None:
        """Scores cells while other stages go on. None where "analyse" is not to be run: hidden states then wait."""
        if not self._scores:
            return None
        return self._open.enter_context(Evaluator(self.spec, self.table, self.store, self.dir.embeddings))

    def score(self, cells: Iterable[Cell]) -> None:
        """Hands cells to the evaluator, where there is one."""
        if self.evaluator is not None:
            self.evaluator.submit(cells)

    def drain(self) -> None:
        """Waits for the evaluator behind a progress bar."""
        evaluator = self.evaluator
        with progress.bar("analyse", "cell", evaluator.queued, evaluator.finished) as shown:
            evaluator.drain(lambda finished: shown.update(finished - shown.n))

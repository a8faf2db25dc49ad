"""What the probing experiment is told."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.data.natural.prompts import TASKS, NaturalSpec
from clusterlm_jax.extraction.spec import ExtractSpec
from clusterlm_jax.records import UserError
from clusterlm_jax.report.words import LABELS
from clusterlm_jax.settings import Settings, check_eval, check_sizes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probing(Settings):
    """Natural instructions and a pretrained model (paper 3.4)."""

    experiment: str = "probing"
    stages: tuple[str, ...] = ("data", "extract", "analyse", "report")
    checkpoint: str = ""  # a directory, or a name on the Hugging Face hub, such as EleutherAI/gpt-j-6b
    data: NaturalSpec = NaturalSpec()
    extract: ExtractSpec = ExtractSpec()
    eval: AnalysisSpec = AnalysisSpec(labels=LABELS, jobs=("raw", "tsne"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.seeds) > 1:
            raise UserError(f"config.seeds is {self.seeds!r}; a pretrained model is probed with one seed.")
        check_eval(self.eval, "nothing is trained here", jobs=("raw", "tsne"), labels=LABELS)
        prompts = len(TASKS) * self.data.wordings_per_task * self.data.mappings_per_task
        check_sizes(self.eval, prompts, prompts, prompts)  # the width is the checkpoint's


SETTINGS = Probing

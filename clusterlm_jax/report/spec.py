"""What a report may be asked for."""

from __future__ import annotations

import dataclasses

from clusterlm_jax.records import FINAL_NORM, UserError

FORMATS = ("png", "pdf", "svg")


@dataclasses.dataclass(frozen=True)
class ReportSpec:
    """How a run is shown; nothing here changes a number."""

    scatter_epochs: tuple[int, ...] = ()  # empty: first, halfway, best and last with an embedding, and the highest F1
    scatter_layer: str = ""  # empty: the layer with the best validation task F1
    # Files per figure; the page carries its own pictures anyway. A PDF takes longer to draw than all the rest.
    formats: tuple[str, ...] = ("png",)
    # The t-SNE spaces to turn and to play in the page, and over training as figures/clusters.gif. It adds the plotting
    # library's 5 MB to the page: False where many pages are kept.
    explorer: bool = True

    def __post_init__(self) -> None:
        if any(epoch < 0 for epoch in self.scatter_epochs):
            raise UserError(f"report.scatter_epochs is {self.scatter_epochs!r}; epochs are whole numbers from 0.")
        if self.scatter_layer not in ("", FINAL_NORM) and not self.scatter_layer.isdecimal():
            raise UserError(
                f"report.scatter_layer is {self.scatter_layer!r}; allowed is the number of a layer, "
                f"{FINAL_NORM!r}, or nothing for the best one."
            )
        if not set(self.formats) <= set(FORMATS):
            raise UserError(f"report.formats is {self.formats!r}; allowed: {', '.join(FORMATS)}.")

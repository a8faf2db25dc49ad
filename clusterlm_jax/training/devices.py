"""The devices of a training: each has its rows of a batch, and where one does not hold the model, its part of that too.

A step is written for one device. From where its arrays are the compiler finds out what each device computes, and adds
the sums between them (jax's SPMD; Xu et al., "GSPMD", 2021). Letters of a shape: the table in `records`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.tree_util import keystr, tree_map_with_path

from clusterlm_jax.data.batching import fill_rows
from clusterlm_jax.models import placement
from clusterlm_jax.records import Batch

# A training holds three states (`Trainer.epochs`) and gradients, a third of a state, and needs room for activations.
STATES_HELD = 3.5
SHARE_FOR_STATES = 0.6


@dataclasses.dataclass(frozen=True)
class Devices:
    """All devices of all processes, or some of them.

    Attributes:
      mesh: of one axis.
      cut: whether each matrix of the parameters, and of the optimiser, is cut over the devices. Otherwise each device
        holds all of them.
    """

    mesh: Mesh
    cut: bool = False

    @property
    def whole(self) -> NamedSharding:
        """The place of what every device holds."""
        return placement.whole(self.mesh)

    def facts(self) -> dict[str, Any]:
        """What `run.json` says."""
        return {"devices": self.mesh.size, "processes": jax.process_count(), "parameters_cut": self.cut}

    def batches(self, batches: Batch) -> Batch:
        """Hands batches [..., row, column] to the devices, as many rows to each; all of them know every instance."""
        filled = fill_rows(batches, self.mesh.size)
        places = [self._rows(array.ndim) if name.endswith("_RT") else self.whole for name, array in _fields(filled)]
        return Batch(*map(placement.put, filled, places))

    def gathered(self, params: Any) -> Any:
        """Parameters as a step multiplies by them. Cut ones are put together for it, and what it yields is cut again.

        Left to itself, the compiler would rather gather activations and logits of the whole batch.
        """
        return jax.lax.with_sharding_constraint(params, self.whole) if self.cut else params

    def states(self, template: Any) -> Any:
        """The place of each array of a state of one seed, once states are stacked over the seeds."""

        def place(path: tuple, leaf: jax.ShapeDtypeStruct) -> NamedSharding:
            if not self.cut or len(leaf.shape) < 2:
                return self.whole
            # The moments of a parameter have its path at the end of theirs.
            one = placement.sharding(keystr(path, simple=True, separator="/"), leaf.shape, self.mesh)
            return NamedSharding(self.mesh, PartitionSpec(None, *one.spec))

        return tree_map_with_path(place, template)

    def _rows(self, rank: int) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*[None] * (rank - 2), placement.AXIS, None))


def devices_for(template: Any) -> Devices:
    """All devices; states of this shape are cut where each device is known to have too little memory for them whole."""
    mesh = placement.mesh_over(jax.devices())
    needed = STATES_HELD * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template))
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")  # a CPU does not say
    return Devices(mesh, cut=limit is not None and mesh.size > 1 and needed > SHARE_FOR_STATES * limit)


def _fields(batch: Batch) -> zip:
    return zip(Batch._fields, batch, strict=True)

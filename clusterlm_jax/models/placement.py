"""Where the parameters of a pretrained model live: each matrix is cut over all devices along one of its dimensions.

The plan of Shoeybi et al. ("Megatron-LM", 2019): the products into a block's heads and feed-forward units are cut by
their output, those back into the residual stream by their input, so that one sum over devices ends each. Inputs are on
every device; the compiler places the activations. One device is the same with nothing to cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "model"
INTO_STREAM = ("o_proj", "down_proj", "out_proj", "fc_out")  # LLaMA's two, GPT-J's two


def mesh_over(devices: Sequence[jax.Device]) -> Mesh:
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def sharding(path: str, shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
    """Of the parameter at `path`, its names joined by "/".

    A dimension that the number of devices does not divide gives way to the other one; vectors, and matrices with
    neither, are on every device.
    """
    *_, layer, kind = path.split("/")
    if len(shape) == 2:
        preferred = 0 if layer in INTO_STREAM or kind == "embedding" else 1
        for dimension in (preferred, 1 - preferred):
            if shape[dimension] % mesh.size == 0:
                cut = (AXIS, None) if dimension == 0 else (None, AXIS)
                return NamedSharding(mesh, PartitionSpec(*cut))
    return NamedSharding(mesh, PartitionSpec())

"""Where arrays live. Each matrix of a pretrained model is split over all devices along one dimension.

The plan is that of Shoeybi et al. ("Megatron-LM", 2019). The matrices into a block's heads and feed-forward units are
split by their output, the matrices back into the residual stream by their input. So attention and feed-forward network
each need one sum over devices, at their end. Inputs are on every device, and the compiler places the activations. The
same code runs on one device: there is nothing to split.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "device"
# The matrices back into the residual stream, two of LLaMA and two of GPT-J. A new architecture adds its own here.
INTO_STREAM = ("o_proj", "down_proj", "out_proj", "fc_out")


def mesh_over(devices: Sequence[jax.Device]) -> Mesh:
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def whole(mesh: Mesh) -> NamedSharding:
    """The placement of what every device holds."""
    return NamedSharding(mesh, PartitionSpec())


def put(array: np.ndarray, place: NamedSharding) -> jax.Array:
    """Puts an array that every process has on the devices. Each device gets its own part only."""
    return jax.make_array_from_callback(array.shape, place, lambda index: array[index])


def sharding(path: str, shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
    """The placement of the parameter at `path`, names joined by "/".

    If the number of devices does not divide the preferred dimension, the other one is split. Vectors, and matrices
    whose dimensions are both not divisible, are copied to every device.
    """
    *_, layer, kind = path.split("/")
    if len(shape) == 2:
        preferred = 0 if layer in INTO_STREAM or kind == "embedding" else 1
        for dimension in (preferred, 1 - preferred):
            if shape[dimension] % mesh.size == 0:
                cut = (AXIS, None) if dimension == 0 else (None, AXIS)
                return NamedSharding(mesh, PartitionSpec(*cut))
    return whole(mesh)

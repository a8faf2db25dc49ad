"""Reads the hidden states of any Flax module: those that it sows, and of a Linen module the outputs of its submodules.

A site is a place in the module that states are read at. Its name is the path to it, parts joined by full stops.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.core import DenyList
from flax.traverse_util import flatten_dict
from numpy.typing import ArrayLike
from tqdm import tqdm

from clusterlm_jax.extraction.reading import one_behind
from clusterlm_jax.records import UserError

OUTPUT = "__call__"  # what Flax calls the output of a submodule
INTERMEDIATES = "intermediates"  # the collection of Linen that outputs are captured into
NAMED_AT_MOST = 20  # sites in a message

Sites = dict[str, jax.Array]
Forward = Callable[[Any, Sequence[Any]], tuple[Sites, Sites]]  # variables, inputs -> what is sown, what is put out


def capture(
    module: nn.Module | nnx.Module,
    variables: Mapping | nnx.State | None,
    *inputs: Any,
    sites: Sequence[str] | None = None,
    positions: ArrayLike | None = None,
    batch_size: int | None = None,
    progress: bool = True,
    **options: Any,
) -> dict[str, np.ndarray]:
    """The states of a module at its sites, float32 by the name of the site; `cluster_layers` takes them as they are.

    The pass is one jitted program. It picks the read-out position on the device, so that nothing else leaves it, and
    takes the variables as they are placed: sharded ones stay sharded. While one batch is fetched, the device works on
    the next. float32 products are computed in full precision (`jax.default_matmul_precision`).

    Args:
      module: of Linen or NNX, as it is to be read: without dropout (`deterministic=True` among the options, `eval()`).
      variables: of a Linen module, as `module.apply` takes them; of an NNX module its state, None for its own.
      *inputs: of the module, arrays or trees of them. In batches, the first axis of each is the instance.
      sites: names of the sites to read, in their order; a star stands for any letters within a part (`block_*`). None
        reads all that the module sows.
      positions: the position to read, one for all instances or int [instance]; states are then [instance, position,
        width]. None keeps the states as they are, for a module that picks positions itself.
      batch_size: instances that go through the module together; None sends all at once.
      progress: whether to show a progress bar over the batches.
      **options: other arguments of `module.apply`, or of the NNX module, the same in all batches.

    Returns:
      States [instance, width] by site.

    Raises:
      UserError: there is no such site, or the positions do not fit the states.
    """
    linen = isinstance(module, nn.Module)
    forward = _linen(module, options) if linen else _nnx(module, options)
    held = nnx.state(module) if variables is None and not linen else variables
    # Arrays of the host go to the device once, not with every batch; those on devices stay as they are.
    held = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, held)
    position_N = None if positions is None else np.asarray(positions, np.int32)
    batches = _batches(inputs, position_N, batch_size)
    with jax.default_matmul_precision("highest"):
        chosen = _chosen(*_shapes(forward, held, batches[0][0]), sites)
        _check_positions(chosen, position_N)
        read = jax.jit(lambda held, given, place: _picked(_together(forward(held, given)), list(chosen), place))
        dispatched = ((read(held, given, place), count) for given, place, count in batches)
        fetched = one_behind(tqdm(dispatched, total=len(batches), desc="capture", disable=not progress))
        # Rows that only fill up the last batch are dropped.
        parts = [[np.asarray(state, np.float32)[:count] for state in states] for states, count in fetched]
    return {name: np.concatenate(states) for name, *states in zip(chosen, *parts, strict=True)}


def _linen(module: nn.Module, options: Mapping[str, Any]) -> Forward:
    def forward(variables: Mapping, inputs: Sequence[Any]) -> tuple[Sites, Sites]:
        # Without the states of its example, which `init` returns when a module sows into this collection.
        given = {name: tree for name, tree in variables.items() if name != INTERMEDIATES}
        mutable = DenyList(tuple(given))  # sowing is silent where a collection is not mutable
        _, kept = module.apply(given, *inputs, mutable=mutable, capture_intermediates=True, **options)
        found = {path[1:]: value for path, value in flatten_dict(kept).items()}
        outputs = {path[:-1] or path: value for path, value in found.items() if path[-1] == OUTPUT}
        return _arrays({path: value for path, value in found.items() if path[-1] != OUTPUT}), _arrays(outputs)

    return forward


def _nnx(module: nnx.Module, options: Mapping[str, Any]) -> Forward:
    graph = nnx.graphdef(module)

    def forward(state: nnx.State, inputs: Sequence[Any]) -> tuple[Sites, Sites]:
        _, kept = nnx.capture(nnx.merge(graph, state), nnx.Intermediate)(*inputs, **options)
        return _arrays({path: variable.get_value() for path, variable in nnx.to_flat_state(kept)}), {}

    return forward


def _arrays(found: Mapping[tuple, Any]) -> Sites:
    """Every array by its site. Those of a site that is passed several times are numbered: `block.0`, `block.1`."""
    arrays = {}
    for path, value in found.items():
        values = value if isinstance(value, tuple) else (value,)  # Flax appends to a tuple, unless told otherwise
        for number, state in enumerate(values):
            if isinstance(state, jax.Array):
                arrays[".".join(map(str, path if len(values) == 1 else (*path, number)))] = state
    return arrays


def _together(found: tuple[Sites, Sites]) -> Sites:
    """All sites. Where a module sows under the name of a submodule, the sown state counts."""
    sown, outputs = found
    return outputs | sown


def _shapes(forward: Forward, variables: Any, inputs: Sequence[Any]) -> tuple[dict, dict]:
    """What is sown and what is put out, as `jax.ShapeDtypeStruct`, in the order of the pass; nothing is computed."""
    order: list[list[str]] = []

    def noted(variables: Any, inputs: Sequence[Any]) -> tuple[Sites, Sites]:
        found = forward(variables, inputs)
        order.extend(map(list, found))  # jax sorts the keys of a dict, so that `block_10` would come before `block_2`
        return found

    shapes = jax.eval_shape(noted, variables, inputs)
    return tuple({name: of[name] for name in names} for names, of in zip(order, shapes, strict=True))


def _chosen(sown: dict, outputs: dict, sites: Sequence[str] | None) -> dict[str, jax.ShapeDtypeStruct]:
    """The sites to read, in their order."""
    there = _together((sown, outputs))
    fitting = {site: [name for name in there if _fits(name, site)] for site in ([] if sites is None else sites)}
    unknown = [site for site, names in fitting.items() if not names]
    if unknown or not (sown or fitting):
        names = [*there][:NAMED_AT_MOST] + ["..."] * (len(there) > NAMED_AT_MOST)
        what = f"There is no site {unknown[0]!r}" if unknown else "The module sows nothing, so sites must be named"
        raise UserError(f"{what}; it has: {', '.join(names) or 'none'}.")
    return sown if sites is None else {name: there[name] for names in fitting.values() for name in names}


def _fits(name: str, site: str) -> bool:
    parts, patterns = name.split("."), site.split(".")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _check_positions(chosen: Mapping[str, jax.ShapeDtypeStruct], position_N: np.ndarray | None) -> None:
    """jax would take the nearest position instead of one that is not there."""
    for name, state in chosen.items() if position_N is not None else ():
        if len(state.shape) != 3:
            raise UserError(f"The states at {name!r} have the shape {state.shape}; positions need three axes.")
        if not ((-state.shape[1] <= position_N) & (position_N < state.shape[1])).all():
            raise UserError(f"positions go from {position_N.min()} to {position_N.max()}; there are {state.shape[1]}.")


def _picked(there: Sites, names: Sequence[str], place: jax.Array | None) -> list[jax.Array]:
    """The states of these sites at the read-out position, a list because it keeps its order."""
    if place is None:
        return [there[name] for name in names]
    return [there[name][jnp.arange(len(there[name])), place] for name in names]


def _batches(
    inputs: Sequence[Any], position_N: np.ndarray | None, batch_size: int | None
) -> list[tuple[Sequence[Any], np.ndarray | None, int | None]]:
    """Inputs, positions and number of instances of each batch, all of one shape, so that they need one program.

    The number is None where all go at once.
    """
    sizes = {len(leaf) for leaf in jax.tree.leaves(inputs)}
    if position_N is not None and position_N.shape not in ((), *((size,) for size in sizes)):
        raise UserError(f"positions has the shape {position_N.shape}; allowed is one number, or one for each instance.")
    if batch_size is None:
        return [(inputs, position_N, None)]
    if len(sizes) != 1 or batch_size < 1:
        raise UserError(
            f"batch_size is {batch_size}, and the inputs have {sorted(sizes)} instances; batches need a size of at "
            "least 1 and inputs of one length."
        )
    (instances,) = sizes
    batches = []
    for start in range(0, instances, batch_size):
        # The last instance again, where a batch is not full.
        index_B = np.minimum(np.arange(start, start + min(batch_size, instances)), instances - 1)
        given = jax.tree.map(lambda leaf, index_B=index_B: leaf[index_B], inputs)
        place = position_N if position_N is None or not position_N.ndim else position_N[index_B]
        batches.append((given, place, min(batch_size, instances - start)))
    return batches

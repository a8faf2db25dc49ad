"""Rotary position embeddings: pairs of a head's numbers rotate by an angle that grows with the position.

They are from Su et al., "RoFormer" (2021). Two rules stretch them over longer inputs. One divides all positions by a
factor (Chen et al., "Extending context window of large language models via positional interpolation", 2023). The other
is Meta's for Llama 3.1 (`apply_scaling` in meta-llama/llama-models); it keeps the fast frequencies. Everything is
float32, as in transformers: another precision would give other angles at large positions.

Letters of a shape: the table in `records`.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """How frequencies are stretched: `linear` divides all of them by `factor`, `llama3` only the slow ones.

    Under `llama3`, a frequency that turns fewer than `low_freq_factor` times within `original_positions` is divided by
    the factor; one that turns more than `high_freq_factor` times is kept; the ones between are interpolated.
    """

    kind: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_positions: int = 8192


def inverse_frequencies(width: int, theta: float, scaling: RopeScaling | None = None) -> np.ndarray:
    """Radians per position of each pair, float32 [width / 2]: theta ** (-2 j / width), then scaled."""
    # numpy, not jax: these are constants of the program, and the same on every device.
    exponent_J = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    frequency_J = 1 / np.float32(theta) ** exponent_J
    if scaling is None:
        return frequency_J
    slow_J = frequency_J / np.float32(scaling.factor)
    if scaling.kind == "linear":
        return slow_J
    turns_J = scaling.original_positions * frequency_J / (2 * np.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept_J = np.clip((turns_J - low) / (high - low), 0, 1).astype(np.float32)
    return (1 - kept_J) * slow_J + kept_J * frequency_J


def angles(position_RT: jax.Array, frequency_J: np.ndarray) -> jax.Array:
    """Radians at each position, float32 [R, T, J]."""
    return position_RT.astype(jnp.float32)[..., None] * frequency_J[None, None]


def rotate_halves(x_RTHW: jax.Array, angle_RTJ: jax.Array) -> jax.Array:
    """LLaMA's rotation: number j of a head rotates with number j + W / 2."""
    return jnp.concatenate(_turned(*jnp.split(x_RTHW, 2, axis=-1), angle_RTJ), axis=-1)


def rotate_pairs(x_RTHW: jax.Array, angle_RTJ: jax.Array) -> jax.Array:
    """GPT-J's rotation: neighbours 2j and 2j + 1 rotate together; the numbers from the 2J-th on stay as they are."""
    turning, rest = jnp.split(x_RTHW, [2 * angle_RTJ.shape[-1]], axis=-1)
    turned = jnp.stack(_turned(turning[..., ::2], turning[..., 1::2], angle_RTJ), axis=-1)
    return jnp.concatenate([turned.reshape(turning.shape), rest], axis=-1)


def _turned(a_RTHJ: jax.Array, b_RTHJ: jax.Array, angle_RTJ: jax.Array) -> tuple[jax.Array, jax.Array]:
    cos_RT1J, sin_RT1J = jnp.cos(angle_RTJ)[:, :, None], jnp.sin(angle_RTJ)[:, :, None]
    return a_RTHJ * cos_RT1J - b_RTHJ * sin_RT1J, b_RTHJ * cos_RT1J + a_RTHJ * sin_RT1J

"""Questions of ours about what the clusters do; the paper has no causal test, and names that as a limit."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from clusterlm_jax.analysis.instruments.directions import CENTROIDS, MEANS, PROBE
from clusterlm_jax.experiments.causal import effects as of
from clusterlm_jax.experiments.causal.effects import GIVEN_INPUT, OTHER_INPUTS, RANDOM, RESIDUAL, Effects, kind_words
from clusterlm_jax.report import claims
from clusterlm_jax.report.claims import CLEAR, HIGH, MARGIN, Finding
from clusterlm_jax.report.run import NotRun
from clusterlm_jax.report.words import layer_words

claim = functools.partial(claims.claim, where="ours", ours=True)
WITHOUT_INPUT = (MEANS, RESIDUAL, CENTROIDS, PROBE)


@claim(
    "The input token's state carries the decision: swapping it changes the answer to the other task's.",
    rule=(
        f"At some block before the last, another task's state gives that task's output in at least {HIGH:.0%} of the "
        f"pairs, and the same task's state keeps the output in at least {HIGH:.0%}."
    ),
)
def swapping(effects: Effects) -> Finding:
    before = _before_last(effects)
    shares = [effects.value(of.SWAP, of.OTHER_TASK, block) for block in effects.blocks]
    kept = {block: effects.value(of.SWAP, of.SAME_TASK, block, outcome="own") for block in before}
    seen = any(share >= HIGH and kept[block] >= HIGH for share, block in zip(shares, before, strict=False))
    half = next(block for share, block in zip(shares, effects.blocks, strict=True) if share > 0.5)
    numbers = (
        f"The other task's output, blocks 1 to {len(shares)}: {_series(shares)}; in most pairs from block {half} on.",
        f"The own output with the same task's state: at least {min(kept.values()):.2f}.",
    )
    return Finding(seen, numbers)


@claim(
    "Given the input, the task is a direction: moving along the difference of means changes the answer.",
    rule=(
        f"At some block before the last, that difference, added once, gives the other task's output in at least "
        f"{CLEAR:.0%} of the pairs, and in over {MARGIN:.0%} of them more than random directions of its length."
    ),
)
def moving_given_input(effects: Effects) -> Finding:
    return _moving(effects, MEANS + GIVEN_INPUT)


@claim(
    "So are the clusters that KMeans finds among the states of one input: the model uses them.",
    rule="As above, for the difference of the centroids that the two tasks are matched with.",
)
def moving_between_clusters(effects: Effects) -> Finding:
    return _moving(effects, CENTROIDS + GIVEN_INPUT)


@claim(
    "One direction is the task for all inputs.",
    rule=(
        "At some block, the difference of task means (the input's mean removed) that is found at the *other* inputs "
        f"alone gives the other task's output in at least {CLEAR:.0%} of the pairs, at some strength."
    ),
)
def moving_without_input(effects: Effects) -> Finding:
    strict = RESIDUAL + OTHER_INPUTS
    best = {kind: effects.best(of.MOVE, kind, effects.blocks) for kind in (strict, *WITHOUT_INPUT, RANDOM)}
    numbers = (
        f"The {kind_words(of.MOVE, kind)}: at most {share:.2f} ({layer_words(layer)}, strength {strength:g})."
        for kind, (share, layer, strength) in best.items()
    )
    return Finding(best[strict][0] >= CLEAR, tuple(numbers))


@claim(
    "The model needs the space that the task means span.",
    rule=(
        f"At some block, without some number of its directions the accuracy is more than {MARGIN} lower than without a "
        "random space of as many. (Of a space with fewer directions all are removed, of a random one the full number.)"
    ),
)
def removing(effects: Effects) -> Finding:
    drops, numbers = {}, []
    for space in of.SPACES:
        of_rank = {}
        for rank in effects.amounts(of.REMOVE, space):
            left, null = (
                [effects.value(of.REMOVE, kind, block, rank, "own") for block in effects.blocks]
                for kind in (space, RANDOM)
            )
            drop = max(without - with_ for with_, without in zip(left, null, strict=True))
            of_rank[rank] = drop, f"{_series(left)}; random ones: {_series(null)}."
        rank = max(of_rank, key=lambda rank: of_rank[rank][0])
        drops[space], words = of_rank[rank]
        of_what = kind_words(of.REMOVE, space).removeprefix("space ")
        numbers.append(f"Without {rank:g} directions {of_what}: {words}")
    return Finding(drops[of.TASK] > MARGIN, tuple(numbers))


@claim(
    "The instruction's last symbol has gathered the task when the input comes.",
    rule=(
        f"At some layer, swapping the state of the last symbol alone gives the other task's output in at least "
        f"{CLEAR:.0%} of the pairs."
    ),
)
def last_symbol(effects: Effects) -> Finding:
    layers = effects.layers[:-2]
    numbers = effects.amounts(of.COMES_FROM, of.OTHER_TASK)
    best = {number: max(effects.value(of.COMES_FROM, of.OTHER_TASK, at, number) for at in layers) for number in numbers}
    words = ", ".join(f"{share:.2f} with {number:g}" for number, share in best.items())
    return Finding(best[numbers[0]] >= CLEAR, (f"At the best layer, by how many of the last symbols: {words}.",))


@claim(
    "What a probe decodes across distributions can also be steered.",
    rule=(
        f"At the block where the probe is most accurate, some difference found without regard to the input, at some "
        f"strength, succeeds at least as often as the probe, less {MARGIN}."
    ),
)
def decodable_is_steerable(effects: Effects) -> Finding:
    decoded, block, _ = effects.best(of.PROBE, of.TASK, effects.blocks, "own")
    steered, kind = max((effects.best(of.MOVE, kind, [block])[0], kind) for kind in WITHOUT_INPUT)
    given = effects.best(of.MOVE, MEANS + GIVEN_INPUT, [block])[0]
    numbers = (
        f"{layer_words(block).capitalize()}: the probe's accuracy is {decoded:.2f}, Move succeeds in {steered:.2f} "
        f"({kind_words(of.MOVE, kind)}); given the input, in {given:.2f}.",
    )
    return Finding(steered >= decoded - MARGIN, numbers)


CLAIMS = (
    swapping,
    moving_given_input,
    moving_between_clusters,
    moving_without_input,
    removing,
    last_symbol,
    decodable_is_steerable,
)


def _moving(effects: Effects, kind: str) -> Finding:
    blocks, null = effects.blocks, RANDOM + GIVEN_INPUT
    moved, random = ([effects.value(of.MOVE, name, block) for block in blocks] for name in (kind, null))
    pairs = list(zip(moved, random, strict=True))[: len(_before_last(effects))]
    numbers = (
        f"The other task's output, blocks 1 to {len(blocks)}: {_series(moved)}; random directions: {_series(random)}.",
    )
    return Finding(any(share >= CLEAR and share - chance > MARGIN for share, chance in pairs), numbers)


def _before_last(effects: Effects) -> tuple[str, ...]:
    """After the last block nothing is left to compute: a swapped state is the other instance's answer."""
    if len(effects.blocks) < 2:
        raise NotRun("the model has a single block")
    return effects.blocks[:-1]


def _series(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:.2f}" for share in shares)

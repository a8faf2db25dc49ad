"""The synthetic instruction-following dataset: tasks, instructions, hard examples, splits (paper 2.2, appendix B)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from clusterlm_jax.data.counts import draw_distribution_counts, fixed_distribution_counts
from clusterlm_jax.data.grammar import Grammar
from clusterlm_jax.data.spec import SYMBOLS, DataSpec
from clusterlm_jax.records import PADDING, Dataset, UserError, Vocabulary

MAPPING_DRAWS = 200


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Instructions of one task, sampled from one regular expression. The `withheld` ones are for validation.

    If similar tasks share the identity `task`, `function` is the number of the one that these instructions ask for.
    """

    task: int
    expression: str
    instructions: tuple[str, ...]
    withheld: tuple[str, ...] = ()
    function: int = 0


@dataclasses.dataclass(frozen=True)
class Task:
    """A task identity: one function on a few symbols, or several similar functions (B.1).

    Attributes:
      inputs: symbols, the same for every function.
      outputs: symbols [function][input].
      original: of a hard task, the task it was made from; else -1.
      target: of a source task, the task whose outputs alignment gives it; else -1 (F.1).
    """

    inputs: tuple[int, ...]
    outputs: tuple[tuple[int, ...], ...]
    original: int = -1
    target: int = -1


def synthesise(spec: DataSpec, seed: int) -> Dataset:
    """The dataset of one seed, with the same bytes in every process.

    The order of the draws is: tasks (regular, then hard), distributions of the regular tasks, instructions withheld for
    validation, hard examples (from training instructions only).

    With `spec.shared_mappings`, every distribution has a function of its own, so their numbers are drawn before the
    tasks. With `spec.source_target_pairs`, the first tasks are the sources and the last ones their targets, in this
    order; this is no restriction, because all tasks are drawn in the same way.

    Raises:
      UserError: if the vocabulary is too small for the tasks or the expressions too narrow for the instructions.
    """
    rng = np.random.default_rng([seed, 0])
    grammar = Grammar(spec, seed=int(rng.integers(2**63)))
    similar = spec.shared_mappings is not None
    if spec.fixes_distributions:
        # The numbers of distributions depend on the roles of the tasks, so the roles are drawn first. The order in the
        # other branch is different and must stay, as recorded results come from its data.
        originals = draw_originals(spec, rng)
        validation = draw_validation_tasks(spec, rng)
        counts = fixed_distribution_counts(spec, rng, validation, frozenset(originals))
        tasks = draw_tasks(spec, rng, counts if similar else [1] * spec.regular_tasks, originals)
    else:
        counts = draw_distribution_counts(spec, rng) if similar else None
        tasks = draw_tasks(spec, rng, counts or [1] * spec.regular_tasks)
        counts = counts or draw_distribution_counts(spec, rng)
        validation = draw_validation_tasks(spec, rng)
    regular = draw_distributions(spec, grammar, counts)
    kept = [_withhold(d, spec, rng) if d.task in validation else d for d in regular]
    hard, altered = draw_hard_examples(spec, rng, grammar, tasks, kept)
    return assemble(spec, tasks, [*kept, *hard], altered)


def draw_originals(spec: DataSpec, rng: np.random.Generator) -> list[int]:
    """The regular task that each hard task is made from; no two are the same."""
    return rng.choice(spec.regular_tasks, spec.hard_tasks, replace=False).tolist()


def draw_validation_tasks(spec: DataSpec, rng: np.random.Generator) -> frozenset[int]:
    """The tasks with instructions withheld for validation: all source tasks (which come first) and random others."""
    sources = spec.source_target_pairs
    others = sources + rng.choice(spec.regular_tasks - sources, spec.validation_tasks - sources, replace=False)
    return frozenset({*range(sources), *others.tolist()})


def draw_tasks(
    spec: DataSpec, rng: np.random.Generator, functions: Sequence[int], originals: Sequence[int] | None = None
) -> list[Task]:
    """Draws regular tasks, then hard tasks with the inputs of their originals. No two tasks share a mapping.

    With `spec.source_target_pairs`, the last regular tasks have the inputs of the first.

    Args:
      functions: the number of functions of each regular task. A hard task has as many as its original, and the same
        inputs in its shared mappings; only the outputs differ.
      originals: the task that each hard task is made from. None: they are drawn here.

    Raises:
      UserError: if no assignment is found in `MAPPING_DRAWS` attempts.
    """
    pairs = spec.source_target_pairs
    target_of = dict(zip(range(pairs), range(spec.number_of_tasks - pairs, spec.number_of_tasks), strict=True))
    source_of = {target: source for source, target in target_of.items()}
    for _ in range(MAPPING_DRAWS):
        tasks: dict[int, Task] = {}
        free = np.ones((spec.task_vocabulary_size, spec.task_vocabulary_size), bool)  # [input, output]
        hard_from = draw_originals(spec, rng) if originals is None else originals
        original_of = [*[-1] * spec.regular_tasks, *hard_from]
        order = list(range(spec.number_of_tasks))
        if spec.shared_mappings is not None:
            # Similar tasks use up most of the pairs. Hard tasks and their originals need free outputs for the same
            # inputs, so they draw first, while there are enough.
            order.sort(key=lambda identity: original_of[identity] < 0 and identity not in original_of)
        for identity in order:
            original = original_of[identity]
            same_inputs = source_of.get(identity, original)
            count = functions[identity if original < 0 else original]
            inputs = _draw_inputs(spec, rng, free, count) if same_inputs < 0 else tasks[same_inputs].inputs
            if inputs is None or (outputs := _draw_outputs(spec, rng, free, inputs, count)) is None:
                break  # a dead end: start again with fresh draws
            tasks[identity] = Task(inputs, outputs, original, target_of.get(identity, -1))
        else:
            return [tasks[identity] for identity in range(spec.number_of_tasks)]
    also = "" if spec.shared_mappings is None else " or data.max_distributions_per_task"
    raise UserError(
        f"No assignment of distinct mappings to {spec.number_of_tasks} tasks was found in {MAPPING_DRAWS} draws: raise "
        f"data.task_vocabulary_size (now {spec.task_vocabulary_size}) or lower data.mappings_per_task{also}."
    )


def _draw_inputs(spec: DataSpec, rng: np.random.Generator, free: np.ndarray, functions: int) -> tuple[int, ...] | None:
    """Inputs with enough free outputs, those of the shared mappings last. None if there are too few."""
    inputs: tuple[int, ...] = ()
    shared = spec.shared_mappings or 0
    for number, outputs in ((spec.mappings_per_task - shared, functions), (shared, 1)):
        enough = free.sum(axis=1) >= outputs
        enough[list(inputs)] = False
        if enough.sum() < number:
            return None
        inputs += tuple(rng.choice(np.flatnonzero(enough), number, replace=False).tolist())
    return inputs


def _draw_outputs(
    spec: DataSpec, rng: np.random.Generator, free: np.ndarray, inputs: tuple[int, ...], functions: int
) -> tuple[tuple[int, ...], ...] | None:
    """Draws outputs [function][input] from the free pairs and marks those as used. None if there are too few.

    Every function has its own output for an input. Only the last `spec.shared_mappings` inputs have one for all.
    """
    shared = spec.shared_mappings or 0
    numbers = [functions] * (len(inputs) - shared) + [1] * shared
    if (free[list(inputs)].sum(axis=1) < numbers).any():
        return None
    every = []
    for symbol, number in zip(inputs, numbers, strict=True):
        outputs = rng.choice(np.flatnonzero(free[symbol]), number, replace=False)
        free[symbol, outputs] = False
        every.append(np.broadcast_to(outputs, functions).tolist())
    return tuple(zip(*every, strict=True))


def draw_distributions(spec: DataSpec, grammar: Grammar, counts: Sequence[int]) -> list[Distribution]:
    """The instruction distributions of the regular tasks: `counts[task]` of each. No instruction occurs twice."""
    taken: set[str] = set()
    distributions = []
    for task, count in enumerate(counts):
        for number in range(count):
            expression, instructions = grammar.distribution(spec.instructions_per_distribution, taken)
            taken.update(instructions)
            function = 0 if spec.shared_mappings is None else number
            distributions.append(Distribution(task, expression, instructions, function=function))
    return distributions


def _withhold(distribution: Distribution, spec: DataSpec, rng: np.random.Generator) -> Distribution:
    """Moves random instructions of a distribution to `withheld`."""
    order = rng.permutation(len(distribution.instructions))
    shuffled = [distribution.instructions[index] for index in order]
    count = spec.validation_instructions_per_distribution
    return dataclasses.replace(
        distribution, withheld=tuple(shuffled[:count]), instructions=tuple(sorted(shuffled[count:]))
    )


def draw_hard_examples(
    spec: DataSpec,
    rng: np.random.Generator,
    grammar: Grammar,
    tasks: list[Task],
    distributions: list[Distribution],
) -> tuple[list[Distribution], frozenset[str]]:
    """Draws the hard examples (paper 2.2).

    Returns:
      The distributions of the hard tasks, one for each distribution of their originals; and the instructions of the
      originals that were altered.
    """
    taken = {instruction for d in distributions for instruction in (*d.instructions, *d.withheld)}
    hard, originals = [], []
    for identity in range(spec.regular_tasks, spec.number_of_tasks):
        for source in (d for d in distributions if d.task == tasks[identity].original):
            altered: dict[str, str] = {}
            leave = source.expression if spec.hard_must_leave_expression else None
            for index in rng.permutation(len(source.instructions)):
                # A very short instruction may have no variant left that is not already an instruction.
                if variant := grammar.altered(source.instructions[index], taken, leave):
                    altered[source.instructions[index]] = variant
                    taken.add(variant)
                if len(altered) == spec.hard_instructions_per_distribution:
                    break
            else:
                raise UserError(
                    f"Too few instructions of {source.expression!r} have an unused variant for a hard example: "
                    "raise data.instruction_vocabulary_size or data.shortest_instruction."
                )
            originals += altered
            hard.append(Distribution(identity, source.expression, tuple(altered.values()), function=source.function))
    return hard, frozenset(originals)


def assemble(
    spec: DataSpec, tasks: list[Task], distributions: list[Distribution], originals: frozenset[str]
) -> Dataset:
    """Combines every instruction of every distribution with every mapping of its task, and stores it in columns."""
    vocabulary = Vocabulary(spec.instruction_vocabulary_size, spec.task_vocabulary_size)
    token = {symbol: vocabulary.instruction_token(index) for index, symbol in enumerate(SYMBOLS)}
    hard = {identity for identity, task in enumerate(tasks) if task.original >= 0}
    sources = {task.original for task in tasks if task.original >= 0}
    rows, sequences, split_of = [], [], []
    mapping_ids: dict[tuple[int, int], int] = {}  # numbered by first appearance; each belongs to one task
    texts = [
        (text, index, withheld)
        for index, d in enumerate(distributions)
        for withheld, group in ((False, d.instructions), (True, d.withheld))
        for text in group
    ]
    for instruction, (text, index, withheld) in enumerate(texts):
        identity = distributions[index].task
        task = tasks[identity]
        everything = spec.subset_composition == "all_available" and identity in sources
        in_subset = not withheld and (identity in hard or text in originals or everything)
        for x, y in zip(task.inputs, task.outputs[distributions[index].function], strict=True):
            pair = vocabulary.task_token(x), vocabulary.task_token(y)
            mapping = mapping_ids.setdefault(pair, len(mapping_ids))
            rows.append((identity, index, mapping, instruction, *pair, task.original, task.target))
            sequences.append([*(token[symbol] for symbol in text), *pair])
            split_of.append((not withheld, in_subset, withheld))
    length_N = np.array([len(sequence) for sequence in sequences], np.int32)
    tokens_NT = np.full((len(rows), length_N.max()), PADDING, np.int32)
    for row, sequence in zip(tokens_NT, sequences, strict=True):
        row[: len(sequence)] = sequence
    names = ("task", "distribution", "mapping", "instruction", "input", "output", "original", "target")
    labels = dict(zip(names, np.array(rows, np.int32).T, strict=True))
    if not spec.source_target_pairs:
        del labels["target"]
    membership = np.array(split_of, bool)
    return Dataset(
        vocabulary=vocabulary,
        tokens_NT=tokens_NT,
        length_N=length_N,
        labels=labels,
        splits={
            name: np.flatnonzero(column).astype(np.int32)
            for name, column in zip(("training", "training_subset", "validation"), membership.T, strict=True)
        },
        expressions=tuple(d.expression for d in distributions),
    )

"""The synthetic instruction-following dataset: tasks, instructions, hard examples, splits (paper 2.2, appendix B)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from clusterlm_jax.data.counts import draw_distribution_counts, fixed_distribution_counts
from clusterlm_jax.data.grammar import SYMBOLS, Grammar
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.records import PADDING, Dataset, UserError, Vocabulary

MAPPING_DRAWS = 200


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Instructions of one task from one regular expression; `withheld` ones are for validation.

    Where similar tasks share an identity, `function` says which of them the instructions stand for.
    """

    task: int
    expression: str
    instructions: tuple[str, ...]
    withheld: tuple[str, ...] = ()
    function: int = 0


@dataclasses.dataclass(frozen=True)
class Task:
    """A task identity: a function on a few symbols, or several similar ones (B.1).

    Attributes:
      inputs: symbols, the same for every function.
      outputs: symbols [function][input].
      original: the task a hard one was made from, else -1.
      target: of a source task, the task whose outputs it is to have in the end, else -1 (F.1).
    """

    inputs: tuple[int, ...]
    outputs: tuple[tuple[int, ...], ...]
    original: int = -1
    target: int = -1


def synthesise(spec: DataSpec, seed: int) -> Dataset:
    """The dataset of one seed: the same bytes in any process.

    Tasks come first (regular, then hard), then the distributions of regular tasks, then what validation withholds,
    then the hard examples, made from training instructions only. With `spec.shared_mappings`, each distribution has a
    task of its own, similar to the others of its identity; then their number is drawn before the tasks. With
    `spec.source_target_pairs`, the first tasks are sources and the last ones their targets, in this order: tasks are
    drawn alike, so these are any tasks.

    Raises:
      UserError: if the vocabulary is too small for the tasks or the expressions too narrow for the instructions.
    """
    rng = np.random.default_rng([seed, 0])
    grammar = Grammar(spec, seed=int(rng.integers(2**63)))
    similar = spec.shared_mappings is not None
    if spec.fixes_distributions:
        # The roles of the tasks come first here, as the numbers of distributions depend on them.
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
    """The regular task that each hard task is made from, all different."""
    return rng.choice(spec.regular_tasks, spec.hard_tasks, replace=False).tolist()


def draw_validation_tasks(spec: DataSpec, rng: np.random.Generator) -> frozenset[int]:
    """The tasks of which validation withholds instructions: the source tasks, which come first, and others."""
    sources = spec.source_target_pairs
    others = sources + rng.choice(spec.regular_tasks - sources, spec.validation_tasks - sources, replace=False)
    return frozenset({*range(sources), *others.tolist()})


def draw_tasks(
    spec: DataSpec, rng: np.random.Generator, functions: Sequence[int], originals: Sequence[int] | None = None
) -> list[Task]:
    """Regular tasks, then hard ones with the inputs of their originals; no two tasks share a mapping.

    The last regular tasks have the inputs of the first, where there are `spec.source_target_pairs`.

    Args:
      functions: how many each regular task has. A hard task has as many as its original, with the same inputs in the
        shared mappings: only the outputs differ.
      originals: the task each hard one is made from; None draws them here.

    Raises:
      UserError: if no assignment is found within a bound.
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
            # Similar tasks fill most of the pairs: whoever uses the same inputs twice goes first, or finds too few.
            order.sort(key=lambda identity: original_of[identity] < 0 and identity not in original_of)
        for identity in order:
            original = original_of[identity]
            same_inputs = source_of.get(identity, original)
            count = functions[identity if original < 0 else original]
            inputs = _draw_inputs(spec, rng, free, count) if same_inputs < 0 else tasks[same_inputs].inputs
            if inputs is None or (outputs := _draw_outputs(spec, rng, free, inputs, count)) is None:
                break
            tasks[identity] = Task(inputs, outputs, original, target_of.get(identity, -1))
        else:
            return [tasks[identity] for identity in range(spec.number_of_tasks)]
    also = "" if spec.shared_mappings is None else " or data.max_distributions_per_task"
    raise UserError(
        f"No assignment of distinct mappings to {spec.number_of_tasks} tasks was found in {MAPPING_DRAWS} draws: raise "
        f"data.task_vocabulary_size (now {spec.task_vocabulary_size}) or lower data.mappings_per_task{also}."
    )


def _draw_inputs(spec: DataSpec, rng: np.random.Generator, free: np.ndarray, functions: int) -> tuple[int, ...] | None:
    """Inputs with enough free outputs, those of shared mappings last; None where there are too few."""
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
    """Outputs [function][input] out of the free pairs, which they use up; None where there are too few.

    An input has an output for each function, but for the last `spec.shared_mappings`, which have one for all.
    """
    shared = spec.shared_mappings or 0
    number_I = [functions] * (len(inputs) - shared) + [1] * shared
    if (free[list(inputs)].sum(axis=1) < number_I).any():
        return None
    outputs_IF = []
    for symbol, number in zip(inputs, number_I, strict=True):
        outputs = rng.choice(np.flatnonzero(free[symbol]), number, replace=False)
        free[symbol, outputs] = False
        outputs_IF.append(np.broadcast_to(outputs, functions).tolist())
    return tuple(zip(*outputs_IF, strict=True))


def draw_distributions(spec: DataSpec, grammar: Grammar, counts: Sequence[int]) -> list[Distribution]:
    """The instruction distributions of the regular tasks, `counts` of each; no instruction occurs twice."""
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
    """Distributions of the hard tasks, one for each of their originals', and the instructions these came from."""
    taken = {instruction for d in distributions for instruction in (*d.instructions, *d.withheld)}
    hard, originals = [], []
    for identity in range(spec.regular_tasks, spec.number_of_tasks):
        for source in (d for d in distributions if d.task == tasks[identity].original):
            altered: dict[str, str] = {}
            for index in rng.permutation(len(source.instructions)):
                # Of the shortest instructions, every variant may stand for another task already.
                if variant := grammar.altered(source.instructions[index], taken):
                    altered[source.instructions[index]] = variant
                    taken.add(variant)
                if len(altered) == spec.hard_instructions_per_distribution:
                    break
            else:
                raise UserError(
                    f"Too few instructions of {source.expression!r} have a free variant for a hard example: "
                    "raise data.instruction_vocabulary_size or data.shortest_instruction."
                )
            originals += altered
            hard.append(Distribution(identity, source.expression, tuple(altered.values()), function=source.function))
    return hard, frozenset(originals)


def assemble(
    spec: DataSpec, tasks: list[Task], distributions: list[Distribution], originals: frozenset[str]
) -> Dataset:
    """Every instruction of every distribution with every mapping of its task, in columns."""
    vocabulary = Vocabulary(spec.instruction_vocabulary_size, spec.task_vocabulary_size)
    token = {symbol: vocabulary.instruction_token(index) for index, symbol in enumerate(SYMBOLS)}
    hard = {identity for identity, task in enumerate(tasks) if task.original >= 0}
    sources = {task.original for task in tasks if task.original >= 0}
    rows, sequences, split_of = [], [], []
    mapping_ids: dict[tuple[int, int], int] = {}  # a mapping belongs to one task
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

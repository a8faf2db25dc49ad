"""The synthetic instruction-following dataset: tasks, instructions, hard examples, splits (paper 2.2, appendix B)."""

from __future__ import annotations

import dataclasses

import numpy as np

from clusterlm_jax.data.grammar import SYMBOLS, Grammar
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.records import PADDING, Dataset, UserError, Vocabulary

MAPPING_DRAWS = 200


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Instructions of one task from one regular expression; `withheld` ones are for validation."""

    task: int
    expression: str
    instructions: tuple[str, ...]
    withheld: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Task:
    """A function on a few symbols; `original` is the task a hard one was made from, else -1."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    original: int = -1


def synthesise(spec: DataSpec, seed: int) -> Dataset:
    """The dataset of one seed: the same bytes in any process.

    Tasks come first (regular, then hard), then the distributions of regular tasks, then what validation withholds,
    then the hard examples, made from training instructions only.

    Raises:
      UserError: if the vocabulary is too small for the tasks or the expressions too narrow for the instructions.
    """
    rng = np.random.default_rng([seed, 0])
    grammar = Grammar(spec, seed=int(rng.integers(2**63)))
    tasks = draw_tasks(spec, rng)
    regular = draw_distributions(spec, rng, grammar)
    validation = frozenset(rng.choice(spec.regular_tasks, spec.validation_tasks, replace=False).tolist())
    kept = [_withhold(d, spec, rng) if d.task in validation else d for d in regular]
    hard, originals = draw_hard_examples(spec, rng, grammar, tasks, kept)
    return assemble(spec, tasks, [*kept, *hard], originals)


def draw_tasks(spec: DataSpec, rng: np.random.Generator) -> list[Task]:
    """Regular tasks, then hard ones with the inputs of their originals; no two tasks share a mapping."""
    for _ in range(MAPPING_DRAWS):
        tasks: list[Task] = []
        free = np.ones((spec.task_vocabulary_size, spec.task_vocabulary_size), bool)  # [input, output]
        originals = rng.choice(spec.regular_tasks, spec.hard_tasks, replace=False)
        for original in [-1] * spec.regular_tasks + originals.tolist():
            inputs = tasks[original].inputs if original >= 0 else None
            if (task := _draw_task(spec, rng, free, inputs, original)) is None:
                break
            tasks.append(task)
        else:
            return tasks
    raise UserError(
        f"No assignment of distinct mappings to {spec.number_of_tasks} tasks was found in {MAPPING_DRAWS} draws: "
        f"raise data.task_vocabulary_size (now {spec.task_vocabulary_size}) or lower data.mappings_per_task."
    )


def _draw_task(spec, rng, free: np.ndarray, inputs: tuple[int, ...] | None, original: int) -> Task | None:
    """One task out of the free (input, output) pairs, which it uses up; None where too few are left."""
    if inputs is None:
        candidates = np.flatnonzero(free.any(axis=1))
        if len(candidates) < spec.mappings_per_task:
            return None
        inputs = tuple(rng.choice(candidates, spec.mappings_per_task, replace=False).tolist())
    if not free[list(inputs)].any(axis=1).all():
        return None
    outputs = tuple(int(rng.choice(np.flatnonzero(free[symbol]))) for symbol in inputs)
    free[list(inputs), list(outputs)] = False
    return Task(inputs, outputs, original)


def draw_distributions(spec: DataSpec, rng: np.random.Generator, grammar: Grammar) -> list[Distribution]:
    """The instruction distributions of the regular tasks; no instruction occurs twice."""
    taken: set[str] = set()
    distributions = []
    for task in range(spec.regular_tasks):
        count = rng.integers(spec.min_distributions_per_task, spec.max_distributions_per_task, endpoint=True)
        for _ in range(count):
            expression, instructions = grammar.distribution(spec.instructions_per_distribution, taken)
            taken.update(instructions)
            distributions.append(Distribution(task, expression, instructions))
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
            hard.append(Distribution(identity, source.expression, tuple(altered.values())))
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
        for number, (x, y) in enumerate(zip(task.inputs, task.outputs, strict=True)):
            pair = vocabulary.task_token(x), vocabulary.task_token(y)
            mapping = identity * spec.mappings_per_task + number
            rows.append((identity, index, mapping, instruction, *pair, task.original))
            sequences.append([*(token[symbol] for symbol in text), *pair])
            split_of.append((not withheld, in_subset, withheld))
    length_N = np.array([len(sequence) for sequence in sequences], np.int32)
    tokens_NT = np.full((len(rows), length_N.max()), PADDING, np.int32)
    for row, sequence in zip(tokens_NT, sequences, strict=True):
        row[: len(sequence)] = sequence
    names = ("task", "distribution", "mapping", "instruction", "input", "output", "original")
    membership = np.array(split_of, bool)
    return Dataset(
        vocabulary=vocabulary,
        tokens_NT=tokens_NT,
        length_N=length_N,
        labels=dict(zip(names, np.array(rows, np.int32).T, strict=True)),
        splits={
            name: np.flatnonzero(column).astype(np.int32)
            for name, column in zip(("training", "training_subset", "validation"), membership.T, strict=True)
        },
        expressions=tuple(d.expression for d in distributions),
    )

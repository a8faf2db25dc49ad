"""Random regular expressions, and instructions sampled from them through xeger (paper appendix B).

An expression is a concatenation of a few *metacharacters*. Each has arguments, the characters it is applied to:
a group `(abc)+`, a positive class `[abc]{2,5}`, or an alternation `(ab|c|def)*`.
"""

from __future__ import annotations

import random
import re
import warnings

from clusterlm_jax.data.spec import SYMBOLS, DataSpec
from clusterlm_jax.records import UserError

with warnings.catch_warnings():  # xeger imports sre_parse, which is deprecated since Python 3.11
    warnings.simplefilter("ignore", DeprecationWarning)
    import xeger

# Bounds, because a narrow expression such as `[ab]?` never gives ten distinct instructions.
SAMPLES_PER_EXPRESSION = 200
EXPRESSIONS_PER_DISTRIBUTION = 500


class Grammar:
    """Draws expressions and instructions. The same spec and seed give the same output in every process.

    xeger's negated classes would break this, as they depend on PYTHONHASHSEED; they are not used here.
    """

    def __init__(self, spec: DataSpec, seed: int) -> None:
        self._spec = spec
        self._random = random.Random(seed)
        self._symbols = SYMBOLS[: spec.instruction_vocabulary_size]
        self._xeger = xeger.Xeger(limit=spec.repeat_limit)
        self._xeger.random = self._random  # not Xeger(seed=...), which ignores seed 0

    def expression(self) -> str:
        """One random regular expression."""
        count = self._random.randint(self._spec.min_metacharacters, self._spec.max_metacharacters)
        return "".join(self._metacharacter() for _ in range(count))

    def distribution(self, count: int, taken: set[str]) -> tuple[str, tuple[str, ...]]:
        """A random expression and `count` distinct instructions that match it, none of them in `taken`.

        Raises:
          UserError: if none of the expressions tried yields enough instructions.
        """
        for _ in range(EXPRESSIONS_PER_DISTRIBUTION):
            expression = self.expression()
            if len(instructions := self._sample(expression, count, taken)) == count:
                return expression, instructions
        raise UserError(
            f"No regular expression yielded {count} new distinct instructions in {EXPRESSIONS_PER_DISTRIBUTION} draws: "
            "lower data.instructions_per_distribution or data.shortest_instruction, or raise data.repeat_limit, "
            "data.longest_instruction or data.max_characters."
        )

    def altered(self, instruction: str, taken: set[str], leave: str | None = None) -> str | None:
        """A hard example (paper 2.2): the instruction with one symbol replaced. None if all such are in `taken`.

        Args:
          leave: an expression that it must not match.
        """
        variants = [
            instruction[:position] + symbol + instruction[position + 1 :]
            for position in range(len(instruction))
            for symbol in self._symbols
        ]
        free = [v for v in variants if v not in taken and not (leave and re.fullmatch(leave, v))]
        return self._random.choice(free) if free else None

    def _sample(self, expression: str, count: int, taken: set[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}  # used as an ordered set
        matches = re.compile(expression).fullmatch
        for _ in range(SAMPLES_PER_EXPRESSION):
            sample = self._xeger.xeger(expression)
            if not matches(sample):  # the data rests on xeger, so each sample is checked
                raise RuntimeError(f"xeger gave {sample!r}, which does not match {expression!r}.")
            fits = self._spec.shortest_instruction <= len(sample) <= self._spec.longest_instruction
            if fits and sample not in taken:
                found[sample] = None
            if len(found) == count:
                break
        return tuple(found)

    def _metacharacter(self) -> str:
        construct = self._random.choice(self._spec.constructs)
        characters = self._random.sample(
            self._symbols, self._random.randint(self._spec.min_characters, self._spec.max_characters)
        )
        argument = "".join(characters)
        if construct == "class":
            return f"[{argument}]{self._quantifier()}"
        if construct == "alternation":
            return f"({self._split(argument)}){self._quantifier()}"
        return f"({argument}){self._quantifier()}"

    def _quantifier(self) -> str:
        quantifier = self._random.choice(self._spec.quantifiers)
        if quantifier != "{m,n}":
            return quantifier
        most = self._random.randint(1, self._spec.repeat_limit)
        return f"{{{self._random.randint(1, most)},{most}}}"

    def _split(self, characters: str) -> str:
        """`abcdef` -> `ab|c|def`, with at least two alternatives and at most one per character."""
        if len(characters) < 2:
            return characters
        bars = self._random.randint(1, len(characters) - 1)
        cuts = sorted(self._random.sample(range(1, len(characters)), bars))
        return "|".join(characters[a:b] for a, b in zip([0, *cuts], [*cuts, len(characters)], strict=True))

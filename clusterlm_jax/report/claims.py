"""A claim of the paper, the rule that decides about it, and the verdict (each experiment's are in its `claims.py`)."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from clusterlm_jax.report.run import NotRun

VERDICTS = SAME, MIXED, NOT_SEEN, NOT_RUN = "same direction", "mixed", "not seen", "not run"
# Where the paper gives no number, these thresholds are ours.
MARGIN = 0.05  # smaller differences are within what another seed of KMeans moves
HIGH = 0.8  # the paper gives "high" no number
CLEAR = 0.5  # nor "obvious"; in its table 1 distribution F1 is .47 to .65


@dataclasses.dataclass(frozen=True)
class Finding:
    """Our numbers, a sentence each, and whether the claim's rule holds for them."""

    seen: bool
    numbers: tuple[str, ...]

    def __post_init__(self) -> None:
        # A small negative number rounds to "-0.00", which reads like a fall.
        rounded = tuple(re.sub(r"-(0\.0+)(?!\d)", r"\1", number) for number in self.numbers)
        object.__setattr__(self, "numbers", rounded)


@dataclasses.dataclass(frozen=True)
class Claim:
    """What the paper says and where, the rule for our verdict, and the function that applies it.

    `measure` raises `NotRun` where what the rule needs is missing. A claim about `all_seeds` is judged once, by what
    they are together. One that is `ours` is a question that the paper does not ask.
    """

    paper: str
    where: str
    rule: str
    measure: Callable[[Any], Finding]
    all_seeds: bool = False
    ours: bool = False


def claim(paper: str, where: str, rule: str, **kind: bool) -> Callable[[Callable[[Any], Finding]], Claim]:
    """Makes a claim of the function below it, so that the rule's words stand beside its code."""
    return lambda measure: Claim(paper, where, rule, measure, **kind)


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A claim, its verdict (one of `VERDICTS`), and the numbers behind it.

    `by_part` has the verdict of every seed, or the verdict and the numbers of every model, by name.
    """

    claim: Claim
    verdict: str
    numbers: tuple[str, ...]
    by_part: Mapping[str, tuple[str, tuple[str, ...]]] = dataclasses.field(default_factory=dict)

    @property
    def words(self) -> str:
        """The verdict, with the share of the seeds that agree with the paper where not all do."""
        verdicts = [verdict for verdict, _ in self.by_part.values()]
        same = f" ({verdicts.count(SAME)} of {len(verdicts)} seeds)" if self.verdict == MIXED else ""
        return self.verdict + same


def judge(claims: Iterable[Claim], subject: Any) -> tuple[Judgement, ...]:
    """Every claim on a run; of several seeds, the numbers are their mean's and the verdict is the seeds' common one."""
    return tuple(_judge(claim, subject) for claim in claims)


def _judge(claim: Claim, subject: Any) -> Judgement:
    verdict, numbers = apply(claim, subject)
    if claim.all_seeds or not subject.members:
        return Judgement(claim, verdict, numbers)
    by_seed = {
        str(seed): (apply(claim, member)[0], ()) for seed, member in zip(subject.seeds, subject.members, strict=True)
    }
    return Judgement(claim, _together({verdict for verdict, _ in by_seed.values()}), numbers, by_seed)


def apply(claim: Claim, subject: Any) -> tuple[str, tuple[str, ...]]:
    """The verdict on one subject, and its numbers; the reason where it was not run."""
    try:
        finding = claim.measure(subject)
    except NotRun as reason:
        return NOT_RUN, (f"Not run: {reason}.",)
    return SAME if finding.seen else NOT_SEEN, finding.numbers


def _together(verdicts: set[str]) -> str:
    """The seeds' common verdict; `MIXED` if some agree with the paper and some do not."""
    if len(verdicts) == 1:
        return next(iter(verdicts))
    return MIXED if SAME in verdicts else NOT_SEEN


def verdict_words(judgements: Sequence[Judgement]) -> str:
    """How many of the paper's claims have each verdict."""
    counts = Counter(judgement.verdict for judgement in judgements if not judgement.claim.ours)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])


def near(value: float, nulls: Mapping[str, float]) -> dict[str, float]:
    """The nulls that could explain a value: it is at most `MARGIN` above them."""
    return {name: null for name, null in nulls.items() if value <= null + MARGIN}


def explanation(what: str, value: float, nulls: Mapping[str, float]) -> str:
    """Whether nulls could explain a value of `what`, each judged by its own number; `nulls` has at least one."""
    close = near(value, nulls)
    could, not_so = (
        ", ".join(f"{name} {null:.2f}" for name, null in nulls.items() if (name in close) == is_close)
        for is_close in (True, False)
    )
    if not could:
        return f"No null baseline at its best explains {what}: {not_so}."
    others = f"; {not_so} could not" if not_so else ""
    return f"Of the null baselines, each at its best, {could} could explain {what}{others}."

"""How verdicts come about: by the rule alone, seed by seed; the claims of the experiments are tested with them."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterlm_jax.report.claims import (
    MARGIN,
    MIXED,
    NOT_RUN,
    NOT_SEEN,
    SAME,
    Claim,
    Finding,
    Judgement,
    apply,
    claim,
    explanation,
    judge,
    verdict_words,
)
from clusterlm_jax.report.run import NotRun

SEEN = {SAME: 0.9, NOT_SEEN: 0.1, NOT_RUN: None}  # a score that has each verdict


@dataclasses.dataclass
class Subject:
    """What claims ask of a run; a score that is None was not run."""

    score: float | None
    seeds: tuple[int, ...] = (0,)
    members: tuple[Subject, ...] = ()


@claim("The score is high.", "3.2", "The score is above .5.")
def high(subject: Subject) -> Finding:
    if subject.score is None:
        raise NotRun("there is no score")
    return Finding(subject.score > 0.5, (f"{subject.score:.2f}.",))


def of_seeds(*verdicts: str) -> Subject:
    """Seeds with these verdicts; by their mean alone the claim would hold."""
    members = tuple(Subject(SEEN[verdict], (seed,)) for seed, verdict in enumerate(verdicts))
    return Subject(0.9, tuple(range(len(verdicts))), members)


def test_a_claim_is_made_of_its_words_and_the_function_below_them() -> None:
    assert isinstance(high, Claim)
    assert (high.paper, high.where, high.rule) == ("The score is high.", "3.2", "The score is above .5.")
    assert not high.ours and not high.all_seeds
    assert high.measure(Subject(0.7)) == Finding(True, ("0.70.",))
    assert claim("Is it high?", "ours", "Above .5.", ours=True)(high.measure).ours


@pytest.mark.parametrize(
    ("score", "verdict", "number"),
    [(0.9, SAME, "0.90."), (0.1, NOT_SEEN, "0.10."), (None, NOT_RUN, "Not run: there is no score.")],
)
def test_one_run_is_judged_by_the_rule(score: float | None, verdict: str, number: str) -> None:
    assert apply(high, Subject(score)) == (verdict, (number,))
    (judgement,) = judge((high,), Subject(score))
    assert (judgement.verdict, judgement.numbers, judgement.by_part) == (verdict, (number,), {})
    assert judgement.words == verdict


@pytest.mark.parametrize(
    ("seeds", "together"),
    [
        ((SAME, SAME, SAME), SAME),
        ((SAME, SAME, NOT_SEEN), MIXED),
        ((SAME, NOT_SEEN, NOT_SEEN), MIXED),
        ((NOT_SEEN, NOT_SEEN, NOT_SEEN), NOT_SEEN),
        ((SAME, NOT_RUN), MIXED),
        ((NOT_SEEN, NOT_RUN), NOT_SEEN),
        ((NOT_RUN, NOT_RUN), NOT_RUN),
    ],
)
def test_the_verdict_is_the_seeds_common_one_and_the_numbers_are_their_mean_s(
    seeds: tuple[str, ...], together: str
) -> None:
    (judgement,) = judge((high,), of_seeds(*seeds))
    assert (judgement.verdict, judgement.numbers) == (together, ("0.90.",))
    assert {name: verdict for name, (verdict, _) in judgement.by_part.items()} == {
        str(seed): verdict for seed, verdict in enumerate(seeds)
    }


def test_a_claim_about_all_seeds_is_judged_once() -> None:
    about_all = dataclasses.replace(high, all_seeds=True)
    (judgement,) = judge((about_all,), of_seeds(NOT_SEEN, NOT_SEEN))
    assert (judgement.verdict, judgement.by_part) == (SAME, {})


def test_a_mixed_verdict_says_how_many_seeds_agree() -> None:
    (judgement,) = judge((high,), of_seeds(SAME, NOT_SEEN, SAME))
    assert judgement.words == "mixed (2 of 3 seeds)"


def test_verdicts_are_counted_for_the_paper_s_claims_alone() -> None:
    own = dataclasses.replace(high, ours=True)
    judgements = [
        *(Judgement(high, verdict, ()) for verdict in (NOT_RUN, SAME, MIXED, SAME)),
        Judgement(own, NOT_SEEN, ()),
    ]
    assert verdict_words(judgements) == "2 same direction, 1 mixed, 1 not run"


@given(st.integers(0, 100), st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 100), min_size=1))
def test_an_explanation_is_true_of_each_number_it_names(value: int, hundredths: dict[str, int]) -> None:
    nulls = {name: number / 100 for name, number in hundredths.items()}
    told = explanation("it", value / 100, nulls)
    could, _, rest = told.partition("could explain it")
    close = {name for name, null in nulls.items() if value / 100 <= null + MARGIN}
    assert set(re.findall(r"(\w) \d\.\d\d", could if rest else "")) == close
    assert set(re.findall(r"(\w) \d\.\d\d", rest or told)) == nulls.keys() - close
    assert told.endswith(".")


def test_a_change_that_rounds_to_nothing_has_no_sign() -> None:
    told = Finding(True, (f"changes by {-0.004:+.2f}, then by {-0.04:+.2f} and {-0.0049:.3f}; from {-0.0:.1f}.",))
    assert told.numbers == ("changes by 0.00, then by -0.04 and -0.005; from 0.0.",)

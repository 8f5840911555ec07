"""Requests, limits and options refuse what no plan can keep, when they are made.

Owns the tests of requests.py.
"""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.planner.capacity import NoPlan
from bellwire.planner.requests import Limits, Options, PairRequest, check_requests
from bellwire.planner.structures import StoredLeaf
from tests.planner.batch.small_networks import line, wanted


def stored(pair: str = "p", age_s: float = 0.0, life_s: float = 1.0) -> StoredLeaf:
    return StoredLeaf("A", "B", pair, (1.0, 0.0, 0.0, 0.0), age_s, life_s)


def with_stored(*leaves: StoredLeaf) -> PairRequest:
    return PairRequest(request="r", source="A", destination="B", stored=leaves)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: wanted("", "A", "B"), "the request from A to B needs a name"),
        (lambda: wanted("  ", "A", "B"), "needs a name"),
        (lambda: wanted("r", "", "B"), 'from "" to "B" are not two nodes'),
        (lambda: wanted("r", "A", "A"), "A needs no entanglement with itself"),
        (lambda: wanted("r", "A", "B", weight=0.0), "weight 0 must be finite and above 0"),
        (lambda: wanted("r", "A", "B", weight=-1.0), "weight -1"),
        (lambda: wanted("r", "A", "B", weight=math.inf), "weight inf"),
        (lambda: wanted("r", "A", "B", weight=math.nan), "weight nan"),
        (lambda: wanted("r", "A", "B", rate_hz=0.0), "rate 0/s must be finite and above 0"),
        (lambda: wanted("r", "A", "B", rate_hz=-2.0), "rate -2/s"),
        (lambda: wanted("r", "A", "B", rate_hz=math.inf), "rate inf/s"),
        (lambda: wanted("r", "A", "B", rate_hz=math.nan), "rate nan/s"),
        (lambda: wanted("r", "A", "B", fidelity=1.01), r"fidelity 1\.01 is outside 0\.\.1"),
        (lambda: wanted("r", "A", "B", fidelity=-0.1), r"fidelity -0\.1"),
        (lambda: wanted("r", "A", "B", fidelity=math.nan), "fidelity nan"),
        (lambda: wanted("r", "A", "B", age_s=0.0), "age limit 0 s must be above 0"),
        (lambda: wanted("r", "A", "B", age_s=-1.0), "age limit -1 s"),
        (lambda: wanted("r", "A", "B", age_s=math.nan), "age limit nan s"),
        (lambda: Limits(leaves=0), "at least one link, not 0"),
        (lambda: with_stored(stored(age_s=-1.0)), "stored pair p is -1 s old"),
        (lambda: with_stored(stored(age_s=math.nan)), "stored pair p is nan s old"),
        (lambda: with_stored(stored(life_s=math.nan)), "lives nan s"),
        (lambda: with_stored(stored(), stored()), "a stored pair is offered twice"),
        (lambda: Options(quantum=0.3), r"quantum 0\.3 does not divide 1"),
        (lambda: Options(quantum=0.0), "quantum 0 does not divide 1"),
        (lambda: Options(quantum=math.nan), "quantum nan"),
        (lambda: Options(rounds=-1), "rounds -1 must be 0 or more"),
        (lambda: Options(fidelity_step=0.0), r"fidelity step 0 is outside 0\.\.1"),
        (lambda: Options(fidelity_step=math.nan), "fidelity step nan"),
        (lambda: Options(route=("A",)), "fewer than two nodes"),
    ],
)
def test_impossible_wishes_are_one_clear_sentence(made: Callable[[], object], words: str) -> None:
    with pytest.raises(NoPlan, match=words):
        made()


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Options(waiting="three_halfs"), 'unknown waiting rule "three_halfs" .*"three_halves"'),
        (lambda: Options(scheme="dejmp"), 'unknown purification scheme "dejmp" .*"dejmps"'),
    ],
)
def test_unknown_names_are_met_with_the_nearest_known_one(made: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        made()


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.floats(), st.floats(), st.floats(), st.floats())
def test_a_request_that_could_be_made_has_only_possible_numbers(
    weight: float, rate_hz: float, fidelity: float, age_s: float
) -> None:
    good = 0.0 < weight < math.inf and 0.0 < rate_hz < math.inf and 0.0 <= fidelity <= 1.0 and age_s > 0.0
    if good:
        made = wanted("r", "A", "B", weight=weight, rate_hz=rate_hz, fidelity=fidelity, age_s=age_s)
        assert (made.weight, made.rate_hz) == (weight, rate_hz)
    else:
        with pytest.raises(NoPlan):
            wanted("r", "A", "B", weight=weight, rate_hz=rate_hz, fidelity=fidelity, age_s=age_s)


def test_no_limits_are_allowed() -> None:
    limits = Limits(age_s=math.inf, leaves=None, fidelity=None)
    assert limits.age_s == math.inf
    assert Limits(fidelity=0.0).fidelity == 0.0
    assert Limits(fidelity=1.0).fidelity == 1.0


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([wanted("r", "A", "Q")], 'unknown node "Q"'),
        ([wanted("r", "Q", "A")], 'unknown node "Q"'),
        (
            [wanted("r", "A", "B"), wanted("q", "A", "B"), wanted("r", "B", "C")],
            'two requests are called "r"',
        ),
    ],
)
def test_a_list_of_requests_is_checked_against_the_network(requests: list[PairRequest], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_requests(requests, line(10.0, 10.0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(avoid=frozenset({"Q"})), 'unknown node "Q"'),
        (Options(route=("A", "B", "Q")), 'unknown node "Q"'),
        (Options(route=("A", "B", "A")), "route A-B-A visits a node twice"),
        (Options(route=("A", "C")), "no link between A and C on the route A-C"),
    ],
)
def test_options_are_checked_against_the_network(options: Options, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        options.check(line(10.0, 10.0))
    Options(avoid=frozenset({"B"}), route=("A", "B", "C")).check(line(10.0, 10.0))

"""The declared parameters: kinds, limits, and how near a read-back must lie."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.parameters import Parameter, for_each
from bellwire.drivers.readings import Value

POWER = Parameter(
    name="power_mw", meaning="set power", unit="mW", write="set", low=0.5, high=20.0, tolerance=0.01
)
STEPS = Parameter(name="steps", meaning="position", kind="integer", write="set", low=-10, high=10)
SWITCH = Parameter(name="on", meaning="output", kind="switch", write="set")
EDGE = Parameter(name="edge", meaning="edge", kind="choice", write="set", choices=("RISING", "FALLING"))


@settings(derandomize=True, deadline=None)
@given(st.floats())
def test_a_number_passes_exactly_when_it_is_within_its_limits(value: float) -> None:
    if 0.5 <= value <= 20.0:
        assert POWER.checked(value) == value
    else:
        with pytest.raises(LocalMisuse, match=r"power_mw = .* mW is (below 0\.5|above 20) mW"):
            POWER.checked(value)


@pytest.mark.parametrize(("text", "number"), [("7", 7.0), (" 7.25 ", 7.25), ("1e1", 10.0)])
def test_a_number_may_come_as_text(text: str, number: float) -> None:
    assert POWER.checked(text) == number


@pytest.mark.parametrize("value", ["much", "", "7 mW"])
def test_text_that_is_no_number_is_refused_by_name_and_kind(value: str) -> None:
    with pytest.raises(LocalMisuse, match="power_mw is a number, not"):
        POWER.checked(value)


@pytest.mark.parametrize(("value", "whole"), [(3, 3), (3.0, 3), ("-4", -4), (10, 10)])
def test_an_integer_stays_one(value: Value, whole: int) -> None:
    found = STEPS.checked(value)
    assert found == whole
    assert type(found) is int


@pytest.mark.parametrize("value", [3.5, "3.5", "three"])
def test_half_a_step_is_refused(value: Value) -> None:
    with pytest.raises(LocalMisuse, match="steps is a integer"):
        STEPS.checked(value)


@pytest.mark.parametrize(
    ("value", "on"),
    [(True, True), (False, False), ("on", True), ("OFF", False), ("1", True), (0, False), ("yes", True)],
)
def test_a_switch_knows_the_words_for_on_and_off(value: Value, on: bool) -> None:
    assert SWITCH.checked(value) is on


@pytest.mark.parametrize("value", ["maybe", 2, 0.5, ""])
def test_a_switch_takes_nothing_in_between(value: Value) -> None:
    with pytest.raises(LocalMisuse, match="on is a switch"):
        SWITCH.checked(value)


def test_a_choice_names_what_there_is() -> None:
    assert EDGE.checked("FALLING") == "FALLING"
    with pytest.raises(LocalMisuse, match="edge is one of RISING, FALLING, not 'BOTH'"):
        EDGE.checked("BOTH")


@settings(derandomize=True, deadline=None)
@given(st.floats(-30, 30), st.floats(-30, 30))
def test_a_read_back_holds_within_the_tolerance_and_not_beyond(wanted: float, found: float) -> None:
    assert POWER.holds(wanted, found) == (abs(found - wanted) <= 0.01)


def test_a_read_back_that_is_no_number_never_holds() -> None:
    assert not POWER.holds(5.0, math.nan)
    assert not POWER.holds(5.0, "5.0")


def test_switches_and_texts_hold_only_when_they_are_the_same() -> None:
    assert SWITCH.holds(True, True)
    assert not SWITCH.holds(True, False)
    assert EDGE.holds("RISING", "RISING")
    assert not EDGE.holds("RISING", "FALLING")


def test_one_pattern_makes_a_parameter_for_each_channel() -> None:
    pattern = Parameter(name="bias_ua", meaning="bias of detector {}", unit="uA", read="read", low=0, high=50)
    first, second = for_each((1, 2), pattern)
    assert (first.name, first.meaning, first.argument) == ("bias_ua.1", "bias of detector 1", 1)
    assert (second.name, second.meaning, second.argument) == ("bias_ua.2", "bias of detector 2", 2)
    assert second.high == 50

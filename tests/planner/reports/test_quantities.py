"""Figures in words: fitting units, four digits, nothing rounded up that must not be.

Owns the tests of reports/quantities.py.
"""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.planner.reports.quantities import fidelity_text, length_text, rate_text, share_text, time_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (3e-9, "3 ns"),
        (55e-6, "55 µs"),
        (7.569886459e-3, "7.57 ms"),
        (28.53707422e-3, "28.54 ms"),
        (0.99999, "1 s"),
        (12.3456, "12.35 s"),
        (700.0, "11.67 min"),
        (5e4, "13.89 h"),
        (1e7, "115.7 d"),
        (math.inf, "never"),
    ],
)
def test_times_have_four_digits_and_a_fitting_unit(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


@given(st.floats(1e-9, 1e9))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_a_time_read_back_is_the_time_to_four_digits(seconds: float) -> None:
    scale = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
    number, unit = time_text(seconds).split()
    assert float(number) * scale[unit] == pytest.approx(seconds, rel=5.01e-4)


@pytest.mark.parametrize(
    ("hertz", "text"),
    [
        (35.04213, "35.04 pairs/s"),
        (12345.6, "12346 pairs/s"),
        (1e-4, "1.000e-04 pairs/s"),
        (math.inf, "at once"),
    ],
)
def test_rates_have_four_digits(hertz: float, text: str) -> None:
    assert rate_text(hertz, " pairs") == text


@given(st.floats(0.0, 1.0))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_a_fidelity_is_never_rounded_up(fidelity: float) -> None:
    shown = float(fidelity_text(fidelity))
    assert shown <= fidelity + 1e-9
    assert shown > fidelity - 1.0001e-4


def test_shares_and_lengths_are_short() -> None:
    assert share_text(0.4**4) == "0.0256"
    assert length_text(10.0) == "10 km"
    assert length_text(23.18765) == "23.19 km"

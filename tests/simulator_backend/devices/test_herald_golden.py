"""The golden model against values worked out by hand, and proof that each planted fault is noticed.

Fine units are 1/8 tick. Window 0 is [100, 200) unless a case says otherwise; the polarisation table has
Psi+ for channels 0 and 1. The attempt edge has an odd fine part, so that forgetting it shows.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.drivers.frames import HeraldFlag
from bellwire.drivers.herald_settings import polarisation_table
from bellwire.simulator_backend.devices import herald_golden
from tests.simulator_backend.devices.planting import noticed_by, plant

EDGE = 8 * 1000 + 5
GOOD = {
    "fine_bits": 3,
    "offsets": (0, 0, 0, 0),
    "dead_ticks": (5, 5, 5, 5),
    "enabled": (True, True, True, True),
    "decide_ticks": 40,
    "coincidence": 20,
}
WINDOWS = ((100, 100), (0, 0))


def model(windows: Any = WINDOWS, **changes: Any) -> herald_golden.HeraldGolden:
    banks = (
        herald_golden.GoldenBank(windows, polarisation_table()),
        herald_golden.GoldenBank(((300, 10), (0, 0)), (0,) * 5 + (2,) + (0,) * 250),
    )
    return herald_golden.HeraldGolden(herald_golden.GoldenSettings(banks=banks, **{**GOOD, **changes}))


def outcome(*hits: tuple[int, int], **changes: Any) -> tuple[int, int]:
    """(outcome, flags) of one attempt with hits (channel, time after the edge)."""
    golden = model(**changes)
    golden.edge(3, EDGE)
    for channel, after in sorted(hits, key=lambda hit: hit[1]):
        golden.hit(channel, EDGE + after)
    golden.advance(EDGE + 10_000)
    (decision,) = golden.results
    assert (decision.attempt, decision.stamp) == (3, EDGE)
    return decision.outcome, decision.flags


def window_edges() -> None:
    found = [outcome((0, after), (1, 150), coincidence=100)[0] for after in (99, 100, 199, 200)]
    assert found == [0, 1, 1, 0]


def spread_limit() -> None:
    found = [outcome((0, 120), (1, 120 + spread)) for spread in (19, 20, 21)]
    assert found == [(1, 0), (1, 0), (0, HeraldFlag.WIDE)]
    found = [outcome((0, 120 + spread), (1, 120)) for spread in (20, 21)]
    assert found == [(1, 0), (0, HeraldFlag.WIDE)]


def first_hit_counts() -> None:
    assert outcome((0, 110), (1, 110), (0, 110 + 72)) == (1, HeraldFlag.MULTI)


def table_of_channels() -> None:
    pairs = [(0, 1), (2, 3), (0, 3), (1, 2), (0, 2), (1, 3)]
    assert [outcome((a, 120), (b, 121))[0] for a, b in pairs] == [1, 1, 2, 2, 0, 0]
    assert outcome((0, 120), (1, 120), (2, 120))[0] == 0
    assert outcome()[0] == 0


def attempts_are_separate() -> None:
    golden = model()
    golden.edge(0, EDGE)
    golden.hit(0, EDGE + 120)
    golden.edge(1, EDGE + 1000)
    golden.hit(1, EDGE + 1120)
    golden.advance(EDGE + 2000)
    assert [(d.attempt, d.outcome, d.mask) for d in golden.results] == [(0, 0, 1), (1, 0, 4)]


def dead_time() -> None:
    golden = model()
    golden.edge(0, EDGE)
    for after in (0, 39, 40, 79, 85):  # 39 and 79 fall into the dead time; a rejected edge starts none
        golden.hit(0, EDGE + after)
    assert golden.counts == [3, 0, 0, 0]
    assert golden.gated == [0, 0, 0, 0]


def offsets_are_added() -> None:
    assert outcome((0, 90), (1, 105), offsets=(10, 0, 0, 0))[0] == 1
    assert outcome((0, 105), (1, 105), offsets=(-6, 0, 0, 0))[0] == 0


def decision_time() -> None:
    late = {"windows": ((300, 40), (0, 0))}
    assert outcome((0, 319), (1, 319), **late)[0] == 1
    assert outcome((0, 319), (1, 320), **late)[0] == 0


def overrun() -> None:
    golden = model()
    golden.edge(0, EDGE)
    golden.hit(0, EDGE + 120)
    golden.hit(1, EDGE + 120)
    golden.edge(1, EDGE + 319)
    golden.advance(EDGE + 319 + 320)
    lost, decided = golden.results
    assert lost == herald_golden.Overrun(0)
    assert decided == herald_golden.Decision(1, EDGE + 319, 0, 0, HeraldFlag.OVERRUN, (None,) * 4)


def banks_are_chosen_by_the_edge() -> None:
    golden = model()
    for attempt, bank in enumerate((0, 1, 0)):
        golden.edge(attempt, EDGE + 1000 * attempt, bank)
        for channel in (0, 1):
            golden.hit(channel, EDGE + 1000 * attempt + 120)
            golden.hit(channel, EDGE + 1000 * attempt + 305)
    golden.advance(EDGE + 3000)
    assert [(d.outcome, d.times[:2]) for d in golden.results] == [
        (1, (120, 120)),
        (2, (305, 305)),
        (1, (120, 120)),
    ]
    assert golden.gated == [3, 3, 0, 0]


def an_edge_counts_as_gated_once() -> None:
    golden = model(windows=((100, 100), (110, 100)))
    golden.edge(0, EDGE)
    assert golden.hit(0, EDGE + 120)
    assert (golden.counts[0], golden.gated[0]) == (1, 1)


def first_times_carry_the_offset() -> None:
    golden = model(offsets=(10, 0, 0, 0))
    golden.edge(0, EDGE)
    golden.hit(0, EDGE + 40)
    golden.hit(0, EDGE + 90)
    golden.hit(0, EDGE + 150)
    golden.advance(EDGE + 1000)
    assert golden.results[0].times == (100, None, None, None)


def the_end_of_a_run_decides_nothing() -> None:
    golden = model()
    golden.edge(7, EDGE)
    assert golden.end() == 7
    golden.advance(EDGE + 10_000)
    assert (golden.results, golden.end()) == ([], None)


def disabled_channels() -> None:
    assert outcome((0, 120), (1, 120), (2, 120), enabled=(True, True, False, True))[0] == 1


DIRECTED = [
    window_edges,
    spread_limit,
    first_hit_counts,
    table_of_channels,
    attempts_are_separate,
    dead_time,
    offsets_are_added,
    decision_time,
    overrun,
    disabled_channels,
    banks_are_chosen_by_the_edge,
    an_edge_counts_as_gated_once,
    first_times_carry_the_offset,
    the_end_of_a_run_decides_nothing,
]

PLANTED = {
    "1 window end inclusive": [("0 <= folded < length", "0 <= folded <= length")],
    "2 window start exclusive": [("0 <= folded < length", "0 < folded < length")],
    "3 spread limit exclusive": [("spread > self", "spread >= self")],
    "4 fine part of the edge forgotten": [("stamp - self._edge + ", "stamp - (self._edge >> 3 << 3) + ")],
    "5 fine part of the hit forgotten": [("stamp - self._edge + ", "(stamp >> 3 << 3) - self._edge + ")],
    "6 later hits overwrite": [
        (
            "self._flags |= HeraldFlag.MULTI\n",
            "self._flags |= HeraldFlag.MULTI\n                    self._first_hits[bit] = folded\n",
        )
    ],
    "7 mask not cleared": [
        ("self._flags = flags\n        self._first_hits = {}", "self._flags = flags"),
        (
            "flags, times))\n        self._attempt = None\n        self._first_hits = {}",
            "flags, times))\n        self._attempt = None",
        ),
    ],
    "8 table read 4 clocks early": [("self.settings.decide_ticks <<", "self.settings.decide_ticks - 4 <<")],
    "9 maximum becomes minimum": [("max(hits.values())", "min(hits.values())")],
    "overrun reported as fail": [
        ("Overrun(self._attempt))", "Decision(self._attempt, self._edge, 0, 0, 0))"),
    ],
    "dead time off by one": [("stamp - last < settings", "stamp - last <= settings")],
    "dead time from rejected edges": [
        (
            "            return False\n        self.last_accepted[channel] = stamp\n",
            "            self.last_accepted[channel] = stamp\n            return False\n"
            "        self.last_accepted[channel] = stamp\n",
        ),
    ],
    "offset subtracted": [("+ settings.offsets[channel]", "- settings.offsets[channel]")],
    "multi not set": [("self._flags |= HeraldFlag.MULTI", "pass")],
    "bank of the edge ignored": [("self.settings.banks[bank]", "self.settings.banks[0]")],
    "table of another bank": [("self._bank.table[mask]", "self.settings.banks[0].table[mask]")],
    "gated once per window": [("                inside = True", "                inside += 1")],
    "last time kept instead of the first": [
        ("self._times.setdefault(channel, relative)", "self._times[channel] = relative")
    ],
    "first time without the offset": [("(channel, relative)", "(channel, stamp - self._edge)")],
    "times not cleared": [
        ("self._first_hits = {}\n        self._times = {}\n\n", "self._first_hits = {}\n\n")
    ],
    "attempt decided after the run": [
        ("attempt, self._attempt = self._attempt, None", "attempt = self._attempt")
    ],
    "disabled channel takes part": [("if not settings.enabled[channel]:", "if False:")],
}


@pytest.mark.parametrize("case", DIRECTED, ids=lambda case: case.__name__)
def test_the_model_decides_as_worked_out_by_hand(case: Any) -> None:
    case()


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, herald_golden, *PLANTED[fault])
    assert noticed_by(DIRECTED), f"no directed case noticed: {fault}"


def by_definition(edge: int, hits: list[tuple[int, int]]) -> tuple[int, int, int]:
    """(mask, outcome, flags) of one attempt, straight from fpga.md section 5, all hits at once."""
    windows = ((100, 100), (150, 60))
    offsets, dead = (3, -7, 0, 11), 5 * 8
    accepted: list[tuple[int, int]] = []
    for channel in range(4):
        last: int | None = None
        for stamp in sorted(stamp for c, stamp in hits if c == channel):
            if last is None or stamp - last >= dead:
                accepted.append((channel, stamp))
                last = stamp
    folded: dict[int, list[int]] = {}
    for channel, stamp in accepted:
        for number, (start, length) in enumerate(windows):
            inside = stamp - edge + offsets[channel] - start
            if 0 <= inside < length and stamp < edge + 40 * 8:
                folded.setdefault(2 * channel + number, []).append(inside)
    first = {bit: min(times) for bit, times in folded.items()}
    spread = max(first.values()) - min(first.values()) if first else 0
    flags = HeraldFlag.MULTI if any(len(times) > 1 for times in folded.values()) else HeraldFlag(0)
    mask = sum(1 << bit for bit in first)
    if spread > 20:
        return mask, 0, flags | HeraldFlag.WIDE
    return mask, (mask * 7 + 1) % 5, flags


@settings(derandomize=True, deadline=None, max_examples=500)
@given(
    st.integers(0, 4096),
    st.lists(st.tuples(st.integers(0, 3), st.integers(-60, 330)), max_size=12, unique=True),
)
def test_the_model_decides_any_attempt_as_the_definition_does(edge: int, hits: list[tuple[int, int]]) -> None:
    table = tuple((mask * 7 + 1) % 5 for mask in range(256))
    golden = herald_golden.HeraldGolden(
        herald_golden.GoldenSettings(
            banks=(herald_golden.GoldenBank(((100, 100), (150, 60)), table),),
            **{**GOOD, "offsets": (3, -7, 0, 11)},
        )
    )
    stamps = sorted(((channel, edge + after) for channel, after in hits), key=lambda hit: hit[1])
    for channel, stamp in (hit for hit in stamps if hit[1] < edge):
        golden.hit(channel, stamp)
    golden.edge(0, edge)
    for channel, stamp in (hit for hit in stamps if hit[1] >= edge):
        golden.hit(channel, stamp)
    golden.advance(edge + 10_000)
    (decision,) = golden.results
    assert isinstance(decision, herald_golden.Decision)
    # Hits before the edge lie before every window: they count for the dead time only.
    assert (decision.mask, decision.outcome, decision.flags) == by_definition(edge, stamps)

"""The list of faults of fpga.md section 11, and where each one is planted: none may drop out unnoticed.

What only gateware can carry is named too: fault 5 there removes a stage of the pipeline of the fine code,
which the models do not have; here the fine part of the hit is forgotten instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.drivers import test_herald_host_planted as host
from tests.simulator_backend.devices import test_device_protocol_planted as protocol
from tests.simulator_backend.devices import test_herald_device_planted as device
from tests.simulator_backend.devices import test_herald_golden as golden

LISTS: Mapping[str, Mapping[str, Any]] = {
    "golden": golden.PLANTED,
    "protocol": protocol.PLANTED,
    "device": device.PLANTED,
    "host": host.PLANTED,
}

SECTION_11: tuple[tuple[str, str, str], ...] = (
    ("window end `<` -> `<=`", "golden", "1 window end inclusive"),
    ("window start `>=` -> `>`", "golden", "2 window start exclusive"),
    ("spread `>` -> `>=`", "golden", "3 spread limit exclusive"),
    ("attempt fine part not subtracted", "golden", "4 fine part of the edge forgotten"),
    ("one fine-code pipeline stage removed", "golden", "5 fine part of the hit forgotten"),
    ("later hits overwrite the first", "golden", "6 later hits overwrite"),
    ("mask not cleared between attempts", "golden", "7 mask not cleared"),
    ("table read latched 4 clocks early", "golden", "8 table read 4 clocks early"),
    ("maximum tree turned into minimum", "golden", "9 maximum becomes minimum"),
    ("drop-oldest on overflow", "protocol", "drop oldest"),
    ("lost-before flag not set", "protocol", "lost-before not set"),
    ("LOST counted but no range message", "protocol", "no range message"),
    ("BOUND sent one attempt early", "protocol", "bound one attempt early"),
    ("repeated seq executed twice", "protocol", "repeat executed twice"),
    ("write executed before the CRC check", "protocol", "write before the CRC check"),
    ("commit torn across a boundary", "protocol", "torn commit"),
    ("late_commit not set", "protocol", "late commit not told"),
    ("TIME_EPOCH not incremented (reset)", "protocol", "epoch not incremented"),
    ("TIME_EPOCH not incremented (clock loss)", "device", "clock loss begins no epoch"),
    ("PPS label off by one (device)", "protocol", "PPS label off by one"),
    ("PPS label off by one (host)", "host", "PPS label off by one"),
    ("attempt off by one between station and node", "protocol", "attempt off by one"),
    ("the same, seen by the host", "host", "another start not noticed"),
    ("overrun reported as fail", "golden", "overrun reported as fail"),
    ("HI word read without latch", "protocol", "high word not latched"),
)


@pytest.mark.parametrize(("fault", "where", "name"), SECTION_11, ids=lambda word: str(word)[:40])
def test_every_fault_of_the_list_is_planted(fault: str, where: str, name: str) -> None:
    assert name in LISTS[where], f"{fault} is planted nowhere"


def test_window_edges_are_tried_without_a_second_edge_that_could_hide_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second edge of the same channel inside the window sets the same bit, and fault 2 goes unnoticed."""
    tried: list[list[int]] = []
    real = golden.outcome

    def outcome(*hits: tuple[int, int], **changes: Any) -> tuple[int, int]:
        tried.append([channel for channel, _ in hits])
        return real(*hits, **changes)

    monkeypatch.setattr(golden, "outcome", outcome)
    golden.window_edges()
    assert tried == [[0, 1]] * 4

"""Host faults planted one by one, each noticed by a case of test_herald_host.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bellwire.core.errors import DeviceFault
from bellwire.drivers import (
    device_clock,
    framed_device,
    herald_counters,
    herald_fpga,
    herald_registers,
    register_bursts,
)
from tests.drivers.test_herald_host import CASES
from tests.simulator_backend.devices.planting import assert_harmless_changes_pass, noticed_by, plant

PLANTED: dict[str, tuple[Any, str, str]] = {
    "epoch change not noticed": (herald_fpga, "if bound.time_epoch != base.epoch:", "if False:"),
    "epoch change counted as fails": (
        herald_fpga,
        "            self.counters.lost(first, bound.decided_to)\n",
        "",
    ),
    "epoch change not told": (
        herald_fpga,
        "self.on_lost(bound.run_short, first, bound.decided_to, bound.decided_to - first + 1)",
        "pass",
    ),
    "missed start not noticed": (
        herald_fpga,
        "if bound.decided_to is None and self._start_was_missed(bound, base):",
        "if False:",
    ),
    "missed start told too soon": (herald_fpga, "START_MARGIN_NS = 200_000_000", "START_MARGIN_NS = 0"),
    "another start not noticed": (
        herald_fpga,
        "if abs(stamp_ns - due_ns) * FS_PER_NS <= 2 * clock.tick_fs:",
        "if True:",
    ),
    "another start noticed in every tick": (
        herald_fpga,
        "FS_PER_NS <= 2 * clock.tick_fs",
        "FS_PER_NS < clock.tick_fs",
    ),
    "stamps of another epoch believed": (
        device_clock,
        "stamp - (self.pps_ticks << self",
        "stamp - (0 << self",
    ),
    "PPS label off by one": (
        herald_registers,
        'return TimeBase(values["PPS_COUNT", 0]',
        'return TimeBase(values["PPS_COUNT", 0] + 1',
    ),
    "outcome without meaning is a herald": (herald_fpga, "if words.outcome == INVALID:", "if False:"),
    "outcome without meaning is a fail": (
        herald_fpga,
        "self.counters.lost(words.attempt, words.attempt)",
        "pass",
    ),
    "success not counted": (herald_fpga, "self.counters.record(words.attempt)", "pass"),
    "losses told but not counted": (
        herald_fpga,
        "self.counters.lost(lost.first, lost.last)",
        "pass",
    ),
    "losses counted but not told": (
        herald_fpga,
        "self.on_lost(lost.run_short, lost.first, lost.last, lost.count)",
        "pass",
    ),
    "losses of another run counted": (herald_fpga, "if lost.run_short == self._run_short:", "if True:"),
    "a loss that nobody heard overlooked": (
        herald_fpga,
        "if bound.lost - self._lost_heard != self._lost_told:",
        "if False:",
    ),
    "a gap taken for fails": (herald_fpga, "        if self._gap_open:\n", "        if False:\n"),
    "a run on an unknown clock": (herald_fpga, "if not await self.bank.is_locked():", "if False:"),
    "attempts lost count as fails": (
        herald_counters,
        "unknown = _size_of_union(self._lost, decided_to)",
        "unknown = 0 * _size_of_union(self._lost, decided_to)",
    ),
    "a record behind its bound counted": (herald_counters, "if sub_attempt < self.decided:", "if False:"),
    "bound counted as one less": (
        herald_counters,
        "self.decided = decided_to + 1",
        "self.decided = decided_to",
    ),
    "repeat with another number": (
        framed_device,
        "            self.repeated_requests += attempt > 0\n",
        "            self.repeated_requests += attempt > 0\n"
        "            self._seq += attempt > 0\n"
        "            request = Message(kind, self._seq, address, count, 0, payload)\n"
        "            key = (kind | REPLY_BIT, self._seq)\n",
    ),
    "no repeat": (framed_device, "for attempt in range(self.settings.tries):", "for attempt in range(1):"),
    "restart not noticed": (framed_device, "if bound.boot_count != self._boot_count:", "if False:"),
    "bound taken before its records": (framed_device, "elif stream.covers(bound):", "elif True:"),
    "missing records never asked for": (
        framed_device,
        "        else:\n            self._fetch_missing()",
        "        else:\n            return",
    ),
    "records that are gone not told": (framed_device, "self.on_gap(wanted, resumed_at)", "pass"),
    "no HELLO after silence": (
        framed_device,
        "            # HELLO empties the store",
        "            raise LinkTimeout(self.name, 'unanswered')\n            # HELLO empties the store",
    ),
    "late commit not noticed": (
        herald_registers,
        'if not await link.read("STICKY") & late:',
        "if True:",
    ),
    "commit not waited for": (herald_registers, 'while await link.read("STATUS") & pending:', "while False:"),
    "registers not read back": (herald_registers, "if wrong is not None:", "if False:"),
    "tables not read back": (herald_registers, "if table_wrong is not None:", "if False:"),
    "fixed registers written in a run": (
        herald_registers,
        "if key[0] not in FIXED_IN_RUN or kept[key] != value",
        "if True",
    ),
    "old shadows left standing": (herald_registers, "key[0] not in FIXED_IN_RUN or ", ""),
    "everything written each time": (herald_registers, "if kept == dict(values) and", "if False and"),
    "burst one word short": (register_bursts, "for k in range(count)))", "for k in range(count - 1)))"),
    "first hits in fine units": (herald_fpga, "base.clock.femtoseconds(time) / FS_PER_NS", "time / 8"),
}


def in_a_loop(case: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """The case as a function that fails by AssertionError only."""

    async def limited() -> None:
        async with asyncio.timeout(5):
            await case()

    def run() -> None:
        try:
            asyncio.run(limited())
        except (DeviceFault, TimeoutError, AttributeError, pytest.fail.Exception) as fault:
            raise AssertionError(str(fault)) from fault

    run.__name__ = getattr(case, "__name__", "case")
    return run


DIRECTED = [in_a_loop(case) for case in CASES]


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, old, new = PLANTED[fault]
    plant(monkeypatch, module, (old, new))
    assert noticed_by(DIRECTED), f"no case noticed: {fault}"


@pytest.mark.parametrize(
    "module", sorted({module for module, _, _ in PLANTED.values()}, key=str), ids=lambda one: one.__name__
)
def test_a_module_planted_without_a_fault_passes(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_harmless_changes_pass(monkeypatch, module, DIRECTED)

"""Protocol faults planted one by one, each noticed by a case of test_device_protocol.py."""

from __future__ import annotations

from typing import Any

import pytest

from bellwire.drivers import framing
from bellwire.simulator_backend.devices import (
    endpoint,
    event_ring,
    herald_core,
    herald_engine,
    herald_records,
    herald_registers,
    herald_run,
    register_file,
)
from tests.simulator_backend.devices.planting import assert_harmless_changes_pass, noticed_by, plant
from tests.simulator_backend.devices.test_device_protocol import DIRECTED

PLANTED: dict[str, tuple[Any, str, str]] = {
    "drop oldest": (
        event_ring,
        "            return False\n",
        "            self._entries.popleft()\n            self.oldest += 1\n",
    ),
    "lost-before not set": (herald_records, "self._lost_before[RecordKind(lost.kind)] = True", "pass"),
    "no range message": (herald_records, "lost, self._lost = self._lost, []", "lost, self._lost = [], []"),
    "range too short": (herald_records, "max(known.last, lost.last)", "known.last"),
    "losses far apart become one range": (herald_records, "if adjacent or", "if True or"),
    "losses not counted": (herald_records, "self.lost_attempts += last - first + 1", "pass"),
    "bound one attempt early": (
        herald_run,
        "return self.engine.decided_by(until)",
        "return (lambda to: 0 if to is None else to + 1)(self.engine.decided_by(until))",
    ),
    "bound before its record": (
        herald_run,
        "if entry.run_short == run_short and entry.kind == RecordKind.DECISION:",
        "if False:",
    ),
    "bound before its light": (
        herald_run,
        "if edge is not None and self._stop is None:",
        "if False:",
    ),
    "bound goes on after stop": (
        herald_run,
        "until = self.now_stamp if self._stop is None else self._stop",
        "until = self.now_stamp",
    ),
    "bound of the next run too early": (
        herald_run,
        "run_short = self.records.run_short\n        if limit",
        "run_short = self._registers.value('RUN_ID')\n        if limit",
    ),
    "bound kept from the last run": (
        herald_run,
        "        self._decided_to = None\n        self.records.begin",
        "        self.records.begin",
    ),
    "repeat executed twice": (endpoint, "if request == message:", "if False:"),
    "write before the CRC check": (
        framing,
        "if crc16_x25(body[:-2]) != body[-2] | body[-1] << 8:",
        "if False:",
    ),
    "torn commit": (
        herald_registers,
        "values = {key: value for key, value in snapshot.items() if key[0] not in without}",
        "values = self._registers._shadow",
    ),
    "torn commit of the table": (
        herald_registers,
        "list(self._shadow_table), list",
        "self._shadow_table, list",
    ),
    "commit in force at once": (
        herald_core,
        "        self._commit_at = boundary\n",
        "        self._apply_commit(now)\n",
    ),
    "late commit not told": (herald_core, 'self.registers.raise_sticky("STICKY", "late_commit")', "pass"),
    "late commit in force": (
        herald_core,
        '"late_commit")\n            return',
        '"late_commit")',
    ),
    "epoch not incremented": (herald_core, "self.boot_count << 4)", "16)"),
    "PPS label off by one": (
        herald_core,
        '"PPS_COUNT": lambda _: self._pps_s()',
        '"PPS_COUNT": lambda _: self._pps_s() + 1',
    ),
    "attempt off by one": (
        herald_engine,
        "aside.edge(edge.attempt, edge",
        "aside.edge(edge.attempt + 1, edge",
    ),
    "overrun not lost": (herald_run, "self.records.lose_attempts(result.attempt, result.attempt)", "pass"),
    "overrun taken for a decision": (
        herald_engine,
        "if following is not None and following.stamp < edge.stamp + self._decide:",
        "if False:",
    ),
    "only overruns with light are told": (herald_engine, "spacing < self._decide", "spacing < 0"),
    "high word not latched": (
        register_file,
        "return self._latched.get(key, 0)",
        "return self.value(*key) >> 32",
    ),
    "refused burst half written": (
        endpoint,
        "                return status  # nothing was changed yet: a refused burst is refused whole",
        "                break",
    ),
    "resend from the wrong place": (endpoint, "self._send_next = words[0]", "self._send_next = words[0] + 1"),
    "fixed write walks on": (
        endpoint,
        "[message.address if fixed else message.address + k",
        "[message.address + k",
    ),
    "fixed read walks on": (endpoint, "read(address if fixed else address + k)", "read(address + k)"),
    "a damaged frame is not told": (
        endpoint,
        'self._core.registers.raise_sticky("STICKY", "crc_err")',
        "pass",
    ),
    "table written beside its address": (
        herald_registers,
        'self._shadow_table[self._step("LUT_ADDR", len(self.table))]',
        'self._shadow_table[self._step("LUT_ADDR", len(self.table)) ^ 1]',
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, old, new = PLANTED[fault]
    plant(monkeypatch, module, (old, new))
    assert noticed_by(DIRECTED), f"no directed case noticed: {fault}"


@pytest.mark.parametrize(
    "module", sorted({module for module, _, _ in PLANTED.values()}, key=str), ids=lambda one: one.__name__
)
def test_a_module_planted_without_a_fault_passes(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_harmless_changes_pass(monkeypatch, module, DIRECTED)

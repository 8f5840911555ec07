"""Faults planted in the emulated FPGA one by one, each noticed by a case of its two test files."""

from __future__ import annotations

from typing import Any

import pytest

from bellwire.simulator_backend.devices import (
    event_ring,
    herald_clock,
    herald_core,
    herald_engine,
    herald_records,
    herald_registers,
    herald_run,
    register_file,
)
from tests.simulator_backend.devices import test_herald_device as device
from tests.simulator_backend.devices import test_herald_inputs as inputs
from tests.simulator_backend.devices.planting import assert_harmless_changes_pass, noticed_by, plant

DIRECTED = device.DIRECTED + inputs.DIRECTED

PLANTED: dict[str, tuple[Any, str, str]] = {
    # time
    "4 ns assumed": (
        herald_clock,
        "(since_fs << self.hardware.fine_bits) // self.hardware.tick_fs",
        "since_fs // 1_000_000",
    ),
    "fine bits assumed": (
        herald_clock,
        "coarse << self.hardware.fine_bits) + self.fine_table",
        "coarse << 3) + self.fine_table",
    ),
    "raw fine code taken for a linear one": (herald_clock, "+ self.fine_table[raw]", "+ raw"),
    "even bins assumed": (herald_clock, "accumulate(widths)", "accumulate((1,) * codes)"),
    "second labelled although its PPS is missing": (
        herald_clock,
        "if self.pps_came(second) or self._gap_from_s is None else self._gap_from_s - 1",
        "",
    ),
    "missing PPS not told": (herald_core, 'self.registers.raise_sticky("STICKY", "pps_missing")', "pass"),
    "run begins without its PPS": (
        herald_run,
        "came = self.armed_s is not None and self._clock.pps_came(self.armed_s)",
        "came = True",
    ),
    "missed start not told": (herald_core, 'self.registers.raise_sticky("STICKY", "start_missed")', "pass"),
    "clock loss begins no epoch": (
        herald_clock,
        "        self.lock_losses = min(self.lock_losses + 1, 0xFFFF)\n        self._begin_epoch()",
        "        self.lock_losses = min(self.lock_losses + 1, 0xFFFF)",
    ),
    "clock loss not counted": (herald_clock, "min(self.lock_losses + 1, 0xFFFF)", "self.lock_losses"),
    "clock loss not told": (herald_core, 'self.registers.raise_sticky("STICKY", "ref_lost")', "pass"),
    "run goes on without its clock": (
        herald_core,
        "            if self.run.is_active:\n                self._end_run()\n        self.clock.lose",
        "        self.clock.lose",
    ),
    "run begins on an unknown clock": (herald_core, "if not self.clock.locked or (", "if ("),
    "reference changed in a run": (
        herald_core,
        "        if self.run.is_active:\n            return Status.BUSY\n        self.clock.select",
        "        self.clock.select",
    ),
    "own oscillator loses the reference": (
        herald_clock,
        "        if not self.uses_external:\n            return False\n",
        "",
    ),
    "epochs mixed in one frame": (
        herald_records,
        "if self._ring.push(RingEntry(self.run_short, epoch, words.pack())):",
        "if self._ring.push(RingEntry(1, 1, words.pack())):",
    ),
    "start told before it": (herald_run, "begun = self.is_running or self._stop is not None", "begun = True"),
    "start delay forgotten": (herald_run, 'first_tick + registers.value("START_DELAY") <<', "first_tick <<"),
    "soft reset is no start": (
        herald_core,
        "            self.boot_count += 1\n            self._power_up()",
        "            self._power_up()",
    ),
    "latch of one pair only": (
        register_file,
        "                for index in range(register.count):\n                    self._latched",
        "                for index in range(0):\n                    self._latched",
    ),
    # frames and runs
    "frame boundary ignored by the commit": (
        herald_core,
        "boundary = self.run.engine.sequencer.next_boundary(now)",
        "boundary = now + 1000",
    ),
    "bank of a slot ignored": (
        herald_engine,
        "aside.edge(edge.attempt, edge.stamp, edge.bank)",
        "aside.edge(edge.attempt, edge.stamp)",
    ),
    "windows of the wrong bank": (
        herald_registers,
        'value("WIN_START", bank * WINDOWS + w)',
        'value("WIN_START", w)',
    ),
    "table of the wrong bank": (
        herald_registers,
        "sets.table[bank * MASKS : (bank + 1) * MASKS]",
        "sets.table[:MASKS]",
    ),
    "slot outputs lost": (herald_registers, 'outputs=fields["outputs"].extract(word)', "outputs=0"),
    "slots change without the sequencer": (herald_core, "sequencer.change(settings, boundary)", "pass"),
    "period changes in a run": (
        herald_core,
        "return Status.BUSY if self.run.is_active else Status.OK",
        "return Status.OK",
    ),
    "period slips into a run": (
        herald_core,
        "self.sets.take(without=FIXED_IN_RUN)\n",
        "self.sets.take(without=frozenset())\n",
    ),
    "run without end": (herald_core, "if decided is not None and decided + 1 >= limit:", "if False:"),
    "run ends one attempt early": (herald_core, "decided + 1 >= limit", "decided + 2 >= limit"),
    "wide register loses its high word": (
        register_file,
        "register.decode((word, before[1]) if place.part == 0 else (before[0], word))",
        "register.decode((word, 0))",
    ),
    # trigger, pattern, fails
    "overrun by the trigger taken for a fail": (
        herald_run,
        "self.records.lose_attempts(result.attempt, result.attempt)",
        "pass",
    ),
    "trigger attempts bounded early": (
        herald_engine,
        "self._decided_by_trigger = results[-1].attempt",
        "self._decided_by_trigger = results[-1].attempt + 1",
    ),
    "fails only with light": (herald_run, 'each=wanted["emit_fail"],', "each=False,"),
    "fails before light on its way": (herald_run, "limit = min(limit, edge.stamp - 1)", "pass"),
    "light judged twice": (herald_engine, "self._judged.add(edge.attempt)", "pass"),
    "skipped attempts fail": (herald_engine, "self.skipped.append((end, last.attempt))", "pass"),
    "pattern fires without being asked": (
        herald_run,
        'mask = registers.value("TEST_MASK") if wanted["self_test"] else 0',
        "mask = 1",
    ),
    "pattern fires late": (herald_engine, "edge.stamp + delay)", "edge.stamp + delay + 40)"),
    "pins one tick late": (herald_run, "PIN_TICKS = 7", "PIN_TICKS = 8"),
    "first hits of an empty attempt": (herald_run, "if first_hits and result.mask:", "if first_hits:"),
    # inputs, tags, ring
    "rising edge of a falling input": (herald_run, "+ falls * PULSE_FS", ""),
    "counters never cleared": (herald_core, "golden.counts = [0] * CHANNELS", "pass"),
    "snapshot that goes on": (herald_core, 'self.registers.put("SNAP_COUNT", count, channel)', "pass"),
    "tag of a rejected edge": (
        herald_engine,
        "if self.golden.hit(channel, stamp):",
        "if self.golden.hit(channel, stamp) or True:",
    ),
    "tag bound before its tags": (
        herald_run,
        "limit = min(limit, TagWords.unpack(entry.record).stamp - 1)",
        "pass",
    ),
    "lost tags counted as attempts": (herald_records, "self.lost_tags += 1", "self.lost_attempts += 1"),
    "lost tags told as attempts": (
        herald_records,
        "self._lose(Lost(stamp, stamp, 1, 0, RecordKind.TAG))",
        "self._lose(Lost(stamp, stamp, 1, 0))",
    ),
    "lost-before not on the tag": (herald_records, "flags |= TagFlag.LOST_BEFORE", "pass"),
    "window shows the oldest record first": (event_ring, "(place - self.oldest) % self.depth", "place"),
    "window shows what was released": (event_ring, "or sequence >= self.next:", "or False:"),
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

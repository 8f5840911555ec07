"""From the words of the register file to the settings of the golden models, and the sets that are committed.

Owns the tables behind address and data registers, with their shadows. Refuses to know time and runs.
"""

from __future__ import annotations

from bellwire.drivers.framing import Status
from bellwire.drivers.herald_frames import OutputSource
from bellwire.simulator_backend.devices.herald_clock import HeraldClock, HeraldHardware
from bellwire.simulator_backend.devices.herald_golden import GoldenBank, GoldenSettings
from bellwire.simulator_backend.devices.herald_sequencer import (
    Output,
    SequencerSettings,
    Slot,
)
from bellwire.simulator_backend.devices.register_file import RegisterFile

CHANNELS = 4
WINDOWS = 2
BANKS = 2
OUTPUTS = 4
SLOTS = 64
MASKS = 1 << CHANNELS * WINDOWS
BUILD = 2


def identify(
    registers: RegisterFile,
    hardware: HeraldHardware,
    serial_number: int,
    boot_count: int,
    identity: int | None,
) -> None:
    """Fill the identification block; `identity` other than None emulates a wrong device."""
    register_map = registers.map
    fields = register_map["CAPS"].fields
    caps = {
        "channels": CHANNELS,
        "windows": WINDOWS,
        "fine_bits": hardware.fine_bits,
        "ring_log2": hardware.ring_log2,
        "outputs": OUTPUTS,
        "slots_log2": SLOTS.bit_length() - 1,
        "banks": BANKS,
        "tags": 1,
        "first_hits": 1,
    }
    registers.put("ID", register_map.identity if identity is None else identity)
    registers.put("ABI", register_map.abi)
    registers.put("MAP_HASH", register_map.hash)
    registers.put("BUILD", BUILD)
    registers.put("CAPS", sum(fields[name].place(value) for name, value in caps.items()))
    registers.put("TICK_FS", hardware.tick_fs)
    registers.put("SERIAL", serial_number)
    registers.put("BOOT_COUNT", boot_count)


class HeraldSets:
    """Outcome table and fine-code table, in force and in shadow, and the commit of everything together."""

    def __init__(self, registers: RegisterFile, clock: HeraldClock) -> None:
        self.table = [0] * (BANKS * MASKS)
        self._registers = registers
        self._clock = clock
        self._shadow_table = list(self.table)
        self._shadow_fine = list(clock.fine_table)
        self._taken: tuple[dict[tuple[str, int], int], list[int], list[int]] | None = None
        registers.readers["LUT_DATA"] = lambda _: self.table[self._step("LUT_ADDR", len(self.table))]
        registers.readers["FINE_DATA"] = lambda _: clock.fine_table[self._step_fine()]
        registers.readers["FINE_COUNT"] = lambda _: clock.fine_counts[self._step_fine()]
        registers.writers["LUT_DATA"] = self._write_table
        registers.writers["FINE_DATA"] = self._write_fine

    def take(self, *, without: frozenset[str]) -> None:
        """Freeze the shadows for a commit, `without` the registers of these names: later writes are meant for
        the next one.
        """
        snapshot = self._registers.snapshot_shadow()
        values = {key: value for key, value in snapshot.items() if key[0] not in without}
        self._taken = (values, list(self._shadow_table), list(self._shadow_fine))

    def apply(self) -> None:
        """Put what was taken in force, all together."""
        assert self._taken is not None
        values, self.table, fine = self._taken
        self._taken = None
        self._registers.apply(values)
        self._clock.fine_table = list(fine)

    def _step(self, address_register: str, size: int) -> int:
        """The entry that an address register points at; it then points at the next."""
        entry = self._registers.value(address_register) % size
        self._registers.put(address_register, (entry + 1) % size)
        return entry

    def _step_fine(self) -> int:
        return self._step("FINE_ADDR", len(self._clock.fine_table))

    def _write_table(self, _: int, value: int) -> Status:
        self._shadow_table[self._step("LUT_ADDR", len(self.table))] = value
        return Status.OK

    def _write_fine(self, _: int, value: int) -> Status:
        if value >= len(self._clock.fine_table):
            return Status.RANGE
        self._shadow_fine[self._step_fine()] = value
        return Status.OK


def golden_settings(registers: RegisterFile, sets: HeraldSets, clock: HeraldClock) -> GoldenSettings:
    """The decision logic as the registers in force say."""
    value = registers.value
    enabled = registers.map["ENABLE"].fields["on"]
    return GoldenSettings(
        fine_bits=clock.hardware.fine_bits,
        offsets=tuple(value("OFFS", c) for c in range(CHANNELS)),
        dead_ticks=tuple(value("DEAD", c) for c in range(CHANNELS)),
        enabled=tuple(bool(enabled.extract(value("ENABLE", c))) for c in range(CHANNELS)),
        banks=tuple(
            GoldenBank(
                tuple(
                    (value("WIN_START", bank * WINDOWS + w), value("WIN_LEN", bank * WINDOWS + w))
                    for w in range(WINDOWS)
                ),
                tuple(sets.table[bank * MASKS : (bank + 1) * MASKS]),
            )
            for bank in range(BANKS)
        ),
        decide_ticks=value("DECIDE"),
        coincidence=value("COINC"),
    )


def sequencer_settings(registers: RegisterFile, clock: HeraldClock) -> SequencerSettings:
    """The sequencer as the registers in force say."""
    value, fields = registers.value, registers.map["SLOT"].fields
    mode = registers.map["OUT_MODE"].fields
    slots: list[Slot] = []
    for index in range(SLOTS):
        word = value("SLOT", index)
        slots.append(
            Slot(
                attempts=fields["attempts"].extract(word),
                link=fields["link"].extract(word),
                outputs=fields["outputs"].extract(word),
                bank=fields["bank"].extract(word),
                gap_ticks=value("SLOT_GAP", index),
            )
        )
    outputs = tuple(
        Output(
            OutputSource(mode["source"].extract(value("OUT_MODE", o))),
            value("OUT_START", o),
            value("OUT_STOP", o),
            bool(mode["invert"].extract(value("OUT_MODE", o))),
        )
        for o in range(OUTPUTS)
    )
    return SequencerSettings(
        fine_bits=clock.hardware.fine_bits,
        period_ticks=value("PERIOD"),
        frame_ticks=value("FRAME_LEN"),
        slots=tuple(slots),
        outputs=outputs,
        attempts_max=value("ATT_MAX") or None,
    )

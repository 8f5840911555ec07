"""Registers of the heralding FPGA as its drivers use them: sizes, clock, committed sets, tables.

Owns commit and read-back. Refuses to know runs and records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bellwire.drivers.device_clock import Clock, TimeBase
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.framed_device import READ_WORDS_MAX, WRITE_WORDS_MAX
from bellwire.drivers.herald_settings import BANKS, OUTPUTS, SLOTS
from bellwire.drivers.register_bursts import Key, RegisterAccess, read_registers, write_registers

COMMIT_MARGIN_S = 0.5
"""A commit that is pending this long after its boundary must have come never comes."""
COMMIT_PAUSE_S = 0.02
FIXED_IN_RUN = frozenset(
    ("PERIOD", "START_DELAY", "LANES", "ATT_MAX", "FRAME_LEN", "RUN_ID", "ARM_PPS", "TEST_MASK", "TEST_DELAY")
)
"""Registers that the device refuses to change while a run is active: the nodes rely on them."""


class HeraldRegisters:
    """The registers behind one link."""

    def __init__(self, link: RegisterAccess) -> None:
        self._link = link

    async def sizes(self) -> tuple[Clock, int, int]:
        """Clock, channels and windows of the device.

        Raises DeviceError when it is a build with other slots, outputs or banks than the settings know.
        """
        values = await read_registers(self._link, [("CAPS", 0), ("TICK_FS", 0)])
        fields, caps = self._link.map["CAPS"].fields, values["CAPS", 0]
        for name, known in (("slots_log2", SLOTS.bit_length() - 1), ("outputs", OUTPUTS), ("banks", BANKS)):
            if fields[name].extract(caps) != known:
                raise DeviceError(
                    self._link.name,
                    f"a build with {name} = {fields[name].extract(caps)}, known is {known}; load another",
                )
        clock = Clock(values["TICK_FS", 0], fields["fine_bits"].extract(caps))
        return clock, fields["channels"].extract(caps), fields["windows"].extract(caps)

    async def time_base(self) -> TimeBase:
        """Where the last PPS lies in the counter, and of which epoch; one burst, so they belong together."""
        clock, _, _ = await self.sizes()
        values = await read_registers(
            self._link, [("PPS_TIME", 0), ("PPS_COUNT", 0), ("PPS_TICKS", 0), ("TIME_EPOCH", 0)]
        )
        return TimeBase(values["PPS_COUNT", 0], values["PPS_TIME", 0], values["TIME_EPOCH", 0], clock)

    async def is_locked(self) -> bool:
        """Whether the clock follows the chosen reference."""
        return bool(
            self._link.map["REF_STATUS"].fields["locked"].extract(await self._link.read("REF_STATUS"))
        )

    async def choose_reference(self, external: bool) -> None:
        """Run on the 10 MHz input or on the own oscillator; nothing when it does already."""
        if await self._link.read("REF_SEL") == int(external):
            return
        await self._link.write("REF_SEL", int(external))
        kept = await self._link.read("REF_SEL")
        if kept != int(external):
            raise DeviceError(self._link.name, f"REF_SEL was set to {int(external)} but reads {kept}")

    async def assert_all(
        self, values: Mapping[Key, int], tables: Mapping[str, tuple[int, ...]], boundary_s: float
    ) -> None:
        """Put registers and tables ("LUT", "FINE") in force together, at a boundary of which there is one
        every `boundary_s`, and read everything back.

        Writes nothing when the device says the same already: a running attempt train may depend on it. Raises
        DeviceError when a value is refused or reads back differently, or the commit misses its boundary
        twice.
        """
        kept = await read_registers(self._link, values)
        if kept == dict(values) and await self._table_differs(tables) is None:
            return
        # What a run fixes and what is right already need not be written: a run may be active.
        changed = {
            key: value for key, value in values.items() if key[0] not in FIXED_IN_RUN or kept[key] != value
        }
        await write_registers(self._link, changed)
        for table, words in tables.items():
            await self._write_behind(f"{table}_ADDR", f"{table}_DATA", words)
        await self.commit(boundary_s)
        wrong = await self._differs(values)
        if wrong is not None:
            (name, index), found = wrong
            raise DeviceError(
                self._link.name, f"{name}[{index}] was set to {values[name, index]} but reads {found}"
            )
        table_wrong = await self._table_differs(tables)
        if table_wrong is not None:
            raise DeviceError(self._link.name, f"the table {table_wrong} reads back differently")

    async def fixed_differ(self, values: Mapping[Key, int]) -> bool:
        """Whether the device has another value in a register that an active run keeps as it is."""
        fixed = {key: value for key, value in values.items() if key[0] in FIXED_IN_RUN}
        return await self._differs(fixed) is not None

    async def _differs(self, values: Mapping[Key, int]) -> tuple[Key, int] | None:
        kept = await read_registers(self._link, values)
        return next(((key, kept[key]) for key in values if kept[key] != values[key]), None)

    async def _table_differs(self, tables: Mapping[str, tuple[int, ...]]) -> str | None:
        for table, words in tables.items():
            if await self.read_behind(f"{table}_ADDR", f"{table}_DATA", len(words)) != words:
                return table
        return None

    async def read_behind(self, address_register: str, register: str, count: int) -> tuple[int, ...]:
        """`count` entries of a table behind an address register, from entry 0 on."""
        await self._link.write(address_register, 0)
        address = self._link.map[register].address
        words: tuple[int, ...] = ()
        while len(words) < count:
            wanted = min(READ_WORDS_MAX, count - len(words))
            words += await self._link.read_words(address, wanted, fixed=True)
        return words

    async def _write_behind(self, address_register: str, register: str, words: tuple[int, ...]) -> None:
        await self._link.write(address_register, 0)
        address = self._link.map[register].address
        for start in range(0, len(words), WRITE_WORDS_MAX):
            await self._link.write_words(address, words[start : start + WRITE_WORDS_MAX], fixed=True)

    async def commit(self, boundary_s: float) -> None:
        """Make the shadow set the active one, which happens within `boundary_s` (an attempt, or a frame). A
        commit that missed its boundary is given once more.
        """
        link, loop = self._link, asyncio.get_running_loop()
        late = link.map["STICKY"].fields["late_commit"].place(1)
        pending = link.map["STATUS"].fields["commit_pending"].place(1)
        for _ in range(2):
            await link.write("STICKY", late)
            await link.write("CMD", link.map["CMD"].fields["commit"].place(1))
            latest_s = loop.time() + boundary_s + COMMIT_MARGIN_S
            while await link.read("STATUS") & pending:
                if loop.time() > latest_s:
                    raise DeviceError(link.name, f"commit pending {COMMIT_MARGIN_S} s after its boundary")
                await asyncio.sleep(min(COMMIT_PAUSE_S, boundary_s / 4))
            if not await link.read("STICKY") & late:
                return
        raise DeviceError(link.name, "commit missed its boundary twice; the old configuration is in force")

"""What a procedure works with: knobs that remember where they stood, counts, tags, progress, chance.

Owns the memory of what was moved, and bringing it back: every knob returns to its value before, the last one
moved first; an instrument that cannot is brought to its safe state, and one that cannot even that is named.
Refuses records and limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from bellwire.calibration.access import Held
from bellwire.calibration.bench import Knob, LinkBench, Oven, Pump, Receiver
from bellwire.calibration.listening import Listening, listening
from bellwire.calibration.procedure import Progress, Unfit
from bellwire.calibration.records import CalibrationRecord, Quantity
from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.drivers.faults import ProtocolFault
from bellwire.drivers.readings import Value
from bellwire.drivers.time_tags import Counts

if TYPE_CHECKING:
    import numpy as np

COUNT_TRIES = 5
"""Windows that overlap an overflow are counted anew so often."""
OVEN_LOOK_S = 0.2
OVEN_LOOKS = 12
OVEN_STILL_C = 0.1
"""Whoever wants it no nearer does not want to wait until it stands still, either."""


class Work:
    """The instruments of one run of a procedure, under lease. `options`: the procedure's settings in force.

    `known`: records in force, by procedure. `chance`: for the order of points and the like, from the seed
    that the record states.
    """

    def __init__(
        self,
        procedure: str,
        bench: LinkBench,
        held: Held,
        *,
        known: Mapping[str, CalibrationRecord],
        chance: np.random.Generator,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.bench = bench
        self.held = held
        self.known = known
        self.chance = chance
        self._procedure = procedure
        self._on_progress = on_progress
        self._before: dict[Knob, Value] = {}

    # -- knobs ----------------------------------------------------------------------------------------------

    @property
    def before(self) -> Mapping[Knob, Value]:
        """Where every knob stood that was moved, in the order in which they were first moved."""
        return self._before

    async def read(self, knob: Knob) -> Value:
        """What the instrument says."""
        return await self.held.read(knob.instrument, knob.parameter)

    async def read_number(self, knob: Knob) -> float:
        """The same, of a number. Raises ProtocolFault for anything else."""
        value = await self.read(knob)
        if isinstance(value, bool | str):
            raise ProtocolFault(knob.instrument, f"{knob.parameter} is {value!r}, not a number")
        return float(value)

    async def set(self, knob: Knob, value: Value) -> Value:
        """Turn a knob; returns its read-back."""
        if knob not in self._before:
            self._before[knob] = await self.read(knob)
        return await self.held.write(knob.instrument, knob.parameter, value)

    async def emit(self, pump: Pump, on: bool) -> None:
        """Light on, in the order of the parts, or off in the other order."""
        for knob in pump.emission if on else reversed(pump.emission):
            await self.set(knob, on)

    async def heat(self, oven: Oven, temperature_c: float, *, tolerance_c: float, within_s: float) -> float:
        """Bring a crystal to a temperature and wait; returns what it reads then. Raises Unfit."""
        await self.set(oven.setpoint, temperature_c)
        await self.set(oven.heating, True)
        near, loop = 0, asyncio.get_running_loop()
        looks = OVEN_LOOKS if tolerance_c <= OVEN_STILL_C else 1
        until = loop.time() + within_s
        while True:
            found_c = await self.read_number(oven.reading)
            near = near + 1 if abs(found_c - temperature_c) <= tolerance_c else 0
            if near >= looks:
                return found_c
            if loop.time() > until:
                raise Unfit(
                    f"{oven.setpoint.instrument} is at {found_c:g} C after {within_s:g} s, wanted "
                    f"{temperature_c:g} C within {tolerance_c:g} C"
                )
            await asyncio.sleep(OVEN_LOOK_S)

    # -- light ----------------------------------------------------------------------------------------------

    async def count(self, receiver: Receiver, window_s: float) -> Counts:
        """Singles of one whole window. Raises Unfit when every try overlapped an overflow."""
        for _ in range(COUNT_TRIES):
            counts = await self.held.count(receiver.tagger, window_s)
            if counts.valid:
                return counts
        raise Unfit(
            f"{receiver.tagger} overflowed in {COUNT_TRIES} windows of {window_s:g} s: too much light"
        )

    def listen(self, receivers: Sequence[Receiver]) -> AbstractAsyncContextManager[Listening]:
        """The tags of the detectors of these receivers, by tagger."""
        return listening(self.held, {one.tagger: one.channels for one in receivers})

    # -- results of others ----------------------------------------------------------------------------------

    def quantity(self, procedure: str, name: str) -> Quantity | None:
        """A result in force of another procedure; None where there is none."""
        record = self.known.get(procedure)
        return None if record is None else record.quantities.get(name)

    def needed(self, procedure: str, name: str) -> Quantity:
        """A result in force that the procedure cannot do without. Raises Unfit."""
        found = self.quantity(procedure, name)
        if found is None:
            raise Unfit(f"no {name} of {procedure} is in force for {self.bench.link}: run {procedure} first")
        return found

    # -- people ---------------------------------------------------------------------------------------------

    def tell(self, sentence: str, fraction: float | None = None, **values: float) -> None:
        """Progress, for whoever watches."""
        self._on_progress(Progress(self._procedure, sentence, fraction, values))

    # -- the end --------------------------------------------------------------------------------------------

    async def keep(self, settings: Mapping[Knob, Value]) -> dict[Knob, Value]:
        """Set what shall stay, bring back everything else that was moved; returns the read-backs."""
        for knob in settings:
            if knob not in self._before:
                self._before[knob] = await self.read(knob)
        others = {knob: value for knob, value in self._before.items() if knob not in settings}
        for knob, value in reversed(others.items()):
            await self.held.write(knob.instrument, knob.parameter, value)
        return {
            knob: await self.held.write(knob.instrument, knob.parameter, value)
            for knob, value in settings.items()
        }

    async def bring_back(self) -> tuple[str, ...]:
        """Everything that was moved to where it was, whatever else fails; returns what could not be done."""
        trouble: list[str] = []
        failed: set[str] = set()
        for knob, value in reversed(self._before.items()):
            try:
                await self.held.write(knob.instrument, knob.parameter, value)
            except (DeviceFault, LocalMisuse) as fault:
                failed.add(knob.instrument)
                trouble.append(f"{knob} could not be set back to {value}: {fault}")
        for instrument in failed:
            try:
                await self.held.safe(instrument)
                trouble.append(f"{instrument} was brought to its safe state")
            except (DeviceFault, LocalMisuse) as fault:
                trouble.append(f"the safe state of {instrument} is NOT CONFIRMED: {fault}")
        return tuple(trouble)

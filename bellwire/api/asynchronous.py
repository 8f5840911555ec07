"""The words of `bellwire.api`, to be awaited: for programs that have an event loop of their own.

Owns `open_lab`, `emulated_lab` and the open lab. Everything is as in `bellwire.api`, but for `await` and
`async with`:

>>> async with open_lab("entangled_photons") as lab:  # doctest: +SKIP
...     await lab["bob-plate"].read("angle_deg.2")

Refuses protocols: links make pairs by their agents, whether or not anybody looks at their instruments.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bellwire.api.asynchronous_device import Description, Device, DoubtfulValue, as_typed
from bellwire.api.asynchronous_link import Link, Procedures
from bellwire.api.calibrations import Calibration, Calibrations, Plot
from bellwire.api.emulation import Emulation
from bellwire.api.lab_files import STATE, find_lab
from bellwire.api.reach import OwnConnections, Reach, ThroughAgents
from bellwire.api.text_tables import text_table
from bellwire.calibration.access import Held
from bellwire.calibration.listening import EpochChanged, listening
from bellwire.calibration.store import store_in
from bellwire.calibration.worker import dismiss_worker as dismiss_worker
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.drivers.tag_counting import joined
from bellwire.drivers.time_tags import Counts, TagBlock

if TYPE_CHECKING:
    from bellwire.api.tag_work import Written
    from bellwire.labs import Lab as LabFile

__all__ = [
    "Calibration",
    "Calibrations",
    "Description",
    "Device",
    "Devices",
    "DoubtfulValue",
    "Lab",
    "Link",
    "Plot",
    "Procedures",
    "emulated_lab",
    "open_lab",
]

LEASE_S: Final = 10.0
EMULATED_PATIENCE_S: Final = 20.0
"""An emulated instrument shares its computer with others, and answers when it gets to it."""

Say = Callable[[str], None]


class Devices(Mapping[str, Device]):
    """The instruments by full name; also by NAME alone where only one owner has such a one."""

    def __init__(self, lab: LabFile, reach: Reach, holder: str) -> None:
        self._made = {
            one.full_name: Device(one.full_name, one.driver, reach, holder)
            for one in lab.equipment
            if one.full_name in reach.names
        }
        self._short = [(one.name, one.full_name) for one in lab.equipment if one.full_name in self._made]

    def __getitem__(self, name: str) -> Device:
        found = [full for short, full in self._short if name in (short, full)]
        if len(found) == 1:
            return self._made[found[0]]
        if found:
            raise ConfigError(f'"{name}" is {" and ".join(found)}: give the whole name')
        raise ConfigError(f'no equipment is called "{name}"{nearest(name, self._made)}')

    def __contains__(self, name: object) -> bool:
        return name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def __repr__(self) -> str:
        return text_table(["instrument", "driver"], [[one.name, one.driver] for one in self._made.values()])


class Lab:
    """A lab that is open. Made by `open_lab` and `emulated_lab`."""

    def __init__(self, file: LabFile, state: Path, reach: Reach, operator: str) -> None:
        self.file = file
        self.state = state
        self.devices = Devices(file, reach, f"{operator}, in Python")
        self.links = tuple(one for one in file.network.links if file.calibration_bench(one) is not None)
        self._operator = operator
        self._reach = reach

    @property
    def name(self) -> str:
        """As the lab file has it."""
        return self.file.name

    def __getitem__(self, name: str) -> Device:
        return self.devices[name]

    def link(self, name: str | None = None) -> Link:
        """A link that can be calibrated; None: the only one. Raises ConfigError."""
        known = self.file.network.links
        if name is None:
            if len(self.links) != 1:
                raise ConfigError(f"say which link: {', '.join(self.links) or 'none can be calibrated'}")
            (name,) = self.links
        if name not in known:
            raise ConfigError(f'no link is called "{name}"{nearest(name, known)}', where=self.file.path)
        bench = self.file.calibration_bench(name)
        if bench is None:
            raise ConfigError(
                f"{name} has no calibration section, so nothing says how to measure it", where=self.file.path
            )
        if not self._reach.lends_memories:
            bench = replace(bench, memories=())
        return Link(bench, self._reach.access, store_in(self.state), self._operator)

    # -- light ----------------------------------------------------------------------------------------------

    async def count(self, tagger: str, seconds: float) -> Counts:
        """Singles of a time tagger over one window that begins now, by channel.

        `valid` is False when the window overlapped an overflow. Raises ConfigError, DeviceFault.
        """
        async with self.hold(tagger) as held:
            return await held.count(self[tagger].name, seconds)

    async def tags(self, tagger: str, seconds: float, channels: Sequence[int] = ()) -> TagBlock:
        """The tags of the next `seconds` of a tagger's time, in one block; `channels`: only these.

        For more than some 10^7 tags use `record`, which keeps nothing in memory.
        """
        name = self[tagger].name
        async with self.hold(tagger) as held, aclosing(held.tags(name, seconds, channels)) as stream:
            blocks = [block async for block in stream]
        if len({block.epoch for block in blocks}) > 1:
            raise EpochChanged(name, "its time began anew while it was listened to: ask again")
        return joined(blocks)

    async def tags_together(
        self, taggers: Sequence[str], seconds: float, channels: Sequence[int] = ()
    ) -> dict[str, TagBlock]:
        """The tags of several taggers over the same `seconds`, each in the time of its own clock."""
        names = [self[one].name for one in taggers]
        async with (
            self.hold(*taggers) as held,
            listening(held, {name: tuple(channels) for name in names}) as heard,
        ):
            return await heard.window(seconds)

    async def record(
        self, tagger: str, seconds: float, path: str | Path, *, to: str | None = None, comment: str = ""
    ) -> Written:
        """Write the tags of the next `seconds` into a new file while they come. `to`: a format; None: as the
        suffix says.
        """
        from bellwire.api.tag_work import tag_file

        device = self[tagger]
        seen = (await self._reach.access.seen([device.name]))[0]
        async with self.hold(tagger) as held:
            with tag_file(path, to=to, comment=comment, seen=seen) as file:
                async with aclosing(held.tags(device.name, seconds, ())) as blocks:
                    async for block in blocks:
                        file.put(block)
        return file.written

    # -- leases ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def hold(self, *instruments: str, lease_s: float = LEASE_S) -> AsyncIterator[Held]:
        """All of these instruments under lease for as long as the context lasts, or none of them; renewed
        meanwhile. What is set stays set. Should this process vanish, the agents bring back what stood before.

        Raises ConfigError naming who holds them.
        """
        names = [self[one].name for one in instruments]
        with as_typed():
            async with self._reach.access.hold(
                names, f"{self._operator}, in Python", lease_s=lease_s, on_loss="restore"
            ) as held:
                yield held

    async def look(self) -> str:
        """Every instrument and how it stands, as a table."""
        rows = []
        for name in self.devices:
            one = await self._reach.describe(name)
            rows.append([name, one.model, one.serial_number, one.condition, one.reason, one.held_by or "-"])
        return text_table(["instrument", "model", "serial number", "condition", "why", "held by"], rows)

    async def bring_up(self, say: Say = lambda _: None) -> None:
        """With direct=True: what agents do at their start. The settings of the lab file are asserted, sources
        and converters brought to their operating points; closing the lab switches them off again.
        """
        with as_typed():
            await self._reach.bring_up(say)

    def __repr__(self) -> str:
        return f"lab {self.name}: {len(self.devices)} instruments, links {', '.join(self.links) or 'none'}"


@asynccontextmanager
async def open_lab(
    lab: str | Path,
    *,
    state: str | Path = STATE,
    direct: bool = False,
    only: Collection[str] = (),
    operator: str = "",
) -> AsyncIterator[Lab]:
    """A lab that is up, through its agents; or, with `direct`, its instruments by connections of our own.

    `lab`: a file, or the name of a shipped one. `state`: its folder, as of the commands. `only`: with
    `direct`, full names of the instruments to connect; empty: all. `operator`: in records; "": the login.
    Connecting changes nothing in the hardware. Raises ConfigError.
    """
    from bellwire.labs import load_lab

    loaded = load_lab(find_lab(lab), live=True)
    if only and not direct:
        raise ConfigError("only=... is for direct=True: agents own all of their instruments anyway")
    known = [one.full_name for one in loaded.equipment]
    for name in only:
        if name not in known:
            raise ConfigError(f'no equipment is called "{name}"{nearest(name, known)}', where=loaded.path)
    place = Path(state)
    reach: Reach = await (
        OwnConnections.open(loaded, place, only) if direct else ThroughAgents.open(loaded, place)
    )
    try:
        yield Lab(loaded, place, reach, operator or logged_in())
    finally:
        await reach.close()
        dismiss_worker()


@asynccontextmanager
async def emulated_lab(
    lab: str | Path,
    *,
    state: str | Path | None = None,
    bring_up: bool = True,
    operator: str = "",
    say: Say = lambda _: None,
) -> AsyncIterator[Lab]:
    """A lab whose instruments are played by a child process, connected to directly; it ends with the context.

    `lab`: a file all of whose equipment is `emulated: true`, or the name of a shipped one. `state`: a folder
    for records that shall outlive it; None: none do. `bring_up`: settings asserted and sources on, as agents
    leave them.
    """
    say("starting the emulation")
    began = time.monotonic()
    emulation = await Emulation.start(lab, None if state is None else Path(state))
    try:
        say("connecting the instruments")
        reach = await OwnConnections.open(emulation.lab, emulation.state, patience_s=EMULATED_PATIENCE_S)
        try:
            made = Lab(emulation.lab, emulation.state, reach, operator or logged_in())
            if bring_up:
                await made.bring_up(say)
            say(f"{made.name} is up after {time.monotonic() - began:.0f} s")
            yield made
        finally:
            await reach.close(leave=True)
            dismiss_worker()
    finally:
        await emulation.stop()


def logged_in() -> str:
    """Who is logged in, for records."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return f"user {os.getuid()}"

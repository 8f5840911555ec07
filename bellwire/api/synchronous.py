"""The words of `bellwire.api` for scripts and notebooks: each call returns when its work is done.

Owns the facade over asynchronous.py, one private event loop for each open lab. Ctrl-C (or the stop button of
a notebook) ends what is under way as a command's would: instruments go back, a record says why. Refuses to
print anything with `quiet=True`.
"""

from __future__ import annotations

import atexit
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bellwire.api import asynchronous
from bellwire.api.asynchronous_device import Description
from bellwire.api.background import Asides, BackgroundLoop
from bellwire.api.lab_files import STATE
from bellwire.api.progress import ProgressLine
from bellwire.api.synchronous_link import Link
from bellwire.calibration.access import Held
from bellwire.drivers.readings import Reading, Value
from bellwire.drivers.time_tags import Counts, TagBlock

if TYPE_CHECKING:
    from bellwire.api.tag_work import Written

LEASE_S: Final = 10.0


class Device:
    """One instrument of an open lab: `lab["bob-plate"]`."""

    def __init__(self, device: asynchronous.Device, loop: BackgroundLoop) -> None:
        self._device = device
        self._loop = loop

    @property
    def name(self) -> str:
        """Its full name, OWNER-NAME."""
        return self._device.name

    def read(self, parameter: str) -> Value:
        """A parameter as the instrument says it now. Warns with DoubtfulValue where the instrument doubts it.

        >>> lab["bob-plate"].read("angle_deg.2")  # doctest: +SKIP
        0.0
        """
        return self._loop.run(self._device.read(parameter))

    def reading(self, parameter: str) -> Reading:
        """The same with its unit, its quality and when it was taken.

        >>> lab["source-oven"].reading("temperature_c").unit  # doctest: +SKIP
        'C'
        """
        return self._loop.run(self._device.reading(parameter))

    def write(self, parameter: str, value: Value) -> Value:
        """Set a parameter under a lease for this one write; returns its read-back.

        Raises ConfigError for a value beyond its limits and for an instrument that somebody else holds.

        >>> lab["bob-plate"].write("angle_deg.2", 11.25)  # doctest: +SKIP
        11.25
        """
        return self._loop.run(self._device.write(parameter, value))

    def describe(self) -> Description:
        """Who it is, how it stands and all its parameters, each read once; prints as a table.

        >>> lab["source-oven"].describe()["temperature_c"].value  # doctest: +SKIP
        40.0
        """
        return self._loop.run(self._device.describe())

    def safe(self) -> None:
        """Bring it to its safe state, confirmed by read-back.

        >>> lab["source-pump"].safe()  # doctest: +SKIP
        """
        self._loop.run(self._device.safe())

    def __repr__(self) -> str:
        return repr(self._device)


class Devices(Mapping[str, Device]):
    """The instruments of a lab by name, as a table.

    >>> [name for name in lab.devices if name.startswith("bob")]  # doctest: +SKIP
    ['bob-detectors', 'bob-tagger', 'bob-paddles', 'bob-plate']
    """

    def __init__(self, devices: asynchronous.Devices, loop: BackgroundLoop) -> None:
        self._devices = devices
        self._loop = loop

    def __getitem__(self, name: str) -> Device:
        return Device(self._devices[name], self._loop)

    def __contains__(self, name: object) -> bool:
        return name in self._devices

    def __iter__(self) -> Iterator[str]:
        return iter(self._devices)

    def __len__(self) -> int:
        return len(self._devices)

    def __repr__(self) -> str:
        return repr(self._devices)


class Holding:
    """Instruments under lease, for several orders in a row: `with lab.hold("bob-plate") as held:`."""

    def __init__(self, held: Held, lab: asynchronous.Lab, loop: BackgroundLoop) -> None:
        self._held = held
        self._lab = lab
        self._loop = loop

    def read(self, instrument: str, parameter: str) -> Value:
        """A parameter as the instrument says it now."""
        return self._loop.run(self._held.read(self._lab[instrument].name, parameter))

    def write(self, instrument: str, parameter: str, value: Value) -> Value:
        """Set a parameter; returns its read-back."""
        return self._loop.run(self._held.write(self._lab[instrument].name, parameter, value))

    def count(self, tagger: str, seconds: float) -> Counts:
        """Singles of a time tagger over one window that begins now."""
        return self._loop.run(self._held.count(self._lab[tagger].name, seconds))


class Lab:
    """An open lab. Close it, or use it as a context, so that its instruments and its place on the bus are
    free for others; what is still open at the end of the program is closed then.
    """

    def __init__(
        self, opening: AbstractAsyncContextManager[asynchronous.Lab], line: ProgressLine, asides: Asides
    ):
        self._loop = BackgroundLoop()
        self._line = line
        self._stack = AsyncExitStack()
        try:
            self._lab = self._loop.run(self._stack.enter_async_context(opening), asides)
        except BaseException:
            self._loop.close()
            raise
        finally:
            line.done()
        atexit.register(self.close)

    def close(self) -> None:
        """Give everything back. Closing twice does no harm.

        >>> lab.close()  # doctest: +SKIP
        """
        if self._loop.is_closed:
            return
        atexit.unregister(self.close)
        try:
            self._loop.run(self._stack.aclose())
        finally:
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """As the lab file has it."""
        return self._lab.name

    @property
    def state(self) -> Path:
        """Folder of its keys, records and runs."""
        return self._lab.state

    @property
    def devices(self) -> Devices:
        """Its instruments.

        >>> len(lab.devices)  # doctest: +SKIP
        10
        """
        return Devices(self._lab.devices, self._loop)

    @property
    def links(self) -> tuple[str, ...]:
        """Links that can be calibrated.

        >>> lab.links  # doctest: +SKIP
        ('alice-bob',)
        """
        return self._lab.links

    def __getitem__(self, name: str) -> Device:
        return self.devices[name]

    def link(self, name: str | None = None) -> Link:
        """A link that can be calibrated; None: the only one.

        >>> lab.link().name  # doctest: +SKIP
        'alice-bob'
        """
        return Link(self._lab.link(name), self._loop, self._line)

    def count(self, tagger: str, seconds: float) -> Counts:
        """Singles of a time tagger over one window that begins now, by channel.

        >>> lab.count("alice-tagger", 1.0).singles[1]  # doctest: +SKIP
        22145
        """
        return self._loop.run(self._lab.count(tagger, seconds))

    def tags(self, tagger: str, seconds: float, channels: Sequence[int] = ()) -> TagBlock:
        """The tags of the next `seconds`, at least, in one block; `channels`: only these.

        >>> block = lab.tags("alice-tagger", 2.0)  # doctest: +SKIP
        >>> block.time_ps.shape == block.channel.shape  # doctest: +SKIP
        True
        """
        return self._loop.run(self._lab.tags(tagger, seconds, channels))

    def tags_together(
        self, taggers: Sequence[str], seconds: float, channels: Sequence[int] = ()
    ) -> dict[str, TagBlock]:
        """The tags of several taggers over the same `seconds`, each in the time of its own clock.

        >>> blocks = lab.tags_together(["alice-tagger", "bob-tagger"], 2.0)  # doctest: +SKIP
        >>> sorted(blocks)  # doctest: +SKIP
        ['alice-tagger', 'bob-tagger']
        """
        return self._loop.run(self._lab.tags_together(taggers, seconds, channels))

    def record(
        self, tagger: str, seconds: float, path: str | Path, *, to: str | None = None, comment: str = ""
    ) -> Written:
        """Write the tags of the next `seconds` into a new file while they come; nothing stays in memory.

        >>> lab.record("alice-tagger", 60.0, "night.parquet").tags  # doctest: +SKIP
        5316000
        """
        return self._loop.run(self._lab.record(tagger, seconds, path, to=to, comment=comment))

    @contextmanager
    def hold(self, *instruments: str, lease_s: float = LEASE_S) -> Iterator[Holding]:
        """All of these instruments under lease for as long as the context lasts, or none of them.

        >>> with lab.hold("bob-plate", "bob-tagger") as held:  # doctest: +SKIP
        ...     held.write("bob-plate", "angle_deg.2", 11.25)
        ...     held.count("bob-tagger", 1.0).singles[1]
        """
        stack = AsyncExitStack()
        held = self._loop.run(stack.enter_async_context(self._lab.hold(*instruments, lease_s=lease_s)))
        try:
            yield Holding(held, self._lab, self._loop)
        finally:
            self._loop.run(stack.aclose())

    def look(self) -> None:
        """Print every instrument and how it stands.

        >>> lab.look()  # doctest: +SKIP
        """
        self._line.done(self._loop.run(self._lab.look()))

    def bring_up(self) -> None:
        """With direct=True: what agents do at their start. The settings of the lab file are asserted, sources
        and converters brought to their operating points; closing the lab switches them off again.

        >>> lab.bring_up()  # doctest: +SKIP
        """
        asides = Asides()
        try:
            self._loop.run(self._lab.bring_up(asides.of(self._line.say)), asides)
        finally:
            self._line.done()

    def __repr__(self) -> str:
        return repr(self._lab)


def open_lab(
    lab: str | Path,
    *,
    state: str | Path = STATE,
    direct: bool = False,
    only: Collection[str] = (),
    operator: str = "",
    quiet: bool = False,
) -> Lab:
    """Open a lab that is up, through its agents; or, with `direct`, connect its instruments from here.

    `lab`: a file, or the name of a shipped one. `state`: its folder, as of the commands. `only`: with
    `direct`, full names of the instruments to connect; empty: all. `operator`: in records; "": the login.
    Connecting changes nothing in the hardware. Raises ConfigError, among others when another process owns an
    instrument.

    >>> with open_lab("entangled_photons") as lab:  # doctest: +SKIP
    ...     lab["bob-plate"].read("angle_deg.2")
    0.0
    """
    opening = asynchronous.open_lab(lab, state=state, direct=direct, only=only, operator=operator)
    return Lab(opening, ProgressLine(quiet=quiet), Asides())


def emulated_lab(
    lab: str | Path,
    *,
    state: str | Path | None = None,
    bring_up: bool = True,
    operator: str = "",
    quiet: bool = False,
) -> Lab:
    """A lab whose instruments are played by a child process, for practice, notebooks and tests.

    `state`: a folder for records that shall outlive it; None: none do. `bring_up`: settings asserted and
    sources on, as agents leave them.

    >>> with emulated_lab("entangled_photons") as lab:  # doctest: +SKIP
    ...     lab.link().calibrate("darks").passed
    True
    """
    line, asides = ProgressLine(quiet=quiet), Asides()
    opening = asynchronous.emulated_lab(
        lab, state=state, bring_up=bring_up, operator=operator, say=asides.of(line.say)
    )
    return Lab(opening, line, asides)

"""Driver of Swabian's Pulse Streamer 8/2 through the maker's client (instruments.md section 3.2).

Owns the use of the library: it is imported when an instrument is opened, runs in the thread of the session
under its watchdog, its prints go to the log, and its exceptions become ours. Owns the pattern that plays
for ever, which is streamed again after the instrument has lost it. Refuses patterns that the instrument
would stretch. Plays no timing role: the instrument cannot tell the rate of what it plays. The library sends
a sequence again, up to three times, when the connection breaks under it: a finite sequence may then begin
anew. Never checked on a physical instrument.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.addresses import place
from bellwire.drivers.faults import DeviceError, DeviceRestarted, Disconnected, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.pulse_streamer_library import load_library
from bellwire.drivers.pulse_streamer_words import (
    CHANNELS,
    CLOCKS,
    FOR_EVER,
    GRAIN_NS,
    REARMS,
    RPC_PORT,
    STARTS,
    STEPS_MAX,
)
from bellwire.drivers.readings import Quality
from bellwire.drivers.session import SessionSettings, Transport
from bellwire.drivers.session_instrument import SessionInstrument
from bellwire.drivers.transports import NoTransport

MODEL = "Pulse Streamer 8/2"

T = TypeVar("T")
Patterns = dict[int, list[tuple[int, int]]]


class PulseStreamer(SessionInstrument):
    """Pulse Streamer 8/2 at a host of its own. Digital channels 0 to 7, times in ns."""

    model = MODEL
    session_settings = SessionSettings(timeout_s=3.0, hang_s=1.0)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="clock",
            meaning="where its clock comes from",
            kind="choice",
            choices=CLOCKS,
            read="read_clock",
            write="set_clock",
        ),
        Parameter(
            name="trigger_start",
            meaning="what starts a sequence",
            kind="choice",
            choices=STARTS,
            read="read_trigger_start",
            write="set_trigger_start",
            emits=True,
        ),
        Parameter(
            name="trigger_rearm",
            meaning="whether it waits for a trigger again after a sequence",
            kind="choice",
            choices=REARMS,
            read="read_trigger_rearm",
            write="set_trigger_rearm",
            emits=True,
        ),
        Parameter(name="playing", meaning="whether a sequence plays", kind="switch", read="is_playing"),
        Parameter(name="has_sequence", meaning="whether it holds one", kind="switch", read="has_sequence"),
        Parameter(
            name="underflow",
            meaning="whether steps came too late in the last sequence",
            kind="switch",
            read="read_underflow",
        ),
    )

    _player: Any = None
    _pattern: Patterns | None = None
    _underflow = False

    # -- life -----------------------------------------------------------------------------------------------

    def _transport(self) -> Transport:
        found = place(self.address, RPC_PORT, instrument=self.name)
        if found.port != RPC_PORT:
            raise ConfigError(
                f"port {found.port}: the maker's client knows only {RPC_PORT}, give the host alone",
                where=self.name,
            )
        return NoTransport()

    async def _open(self) -> None:
        await super()._open()
        host = place(self.address, RPC_PORT, instrument=self.name).host
        timeout_s = self._settings_of_session.timeout_s

        def open_player() -> Any:
            with socket.create_connection((host, RPC_PORT), timeout_s):
                pass  # the library would take long to find out that nobody is there
            return load_library().player(host, timeout_s)

        self._player = await self._translated(open_player)

    async def _shut(self) -> None:
        player, self._player = self._player, None
        if player is not None:
            player.hang_up()
        await super()._shut()

    async def _identify(self) -> Identity:
        serial_number = await self._ask(lambda player: player.getSerial())
        return Identity(
            self.model, str(serial_number), str(await self._ask(lambda one: one.getFirmwareVersion()))
        )

    async def _apply(self) -> None:
        await super()._apply()
        if self._pattern is not None and not await self.has_sequence():
            await self._stream(self._pattern, FOR_EVER)

    async def _probe(self) -> None:
        await super()._probe()
        # Calls come over connections of their own, so only this one shows that the instrument was away.
        if not await self._ask(lambda player: player.is_socket_alive()):
            raise Disconnected(self.name, "the connection for sequences has ended")
        if self._pattern is not None and not await self.has_sequence():
            raise DeviceRestarted(self.name, "its pattern is gone; streaming it again")

    async def safe_state(self) -> None:
        """All outputs at 0 and nothing playing, confirmed, and kept so over reconnects until `play`."""
        await self.stop()

    def _quality(self, parameter: str) -> Quality:
        return Quality.SUSPECT if self._underflow and parameter == "playing" else Quality.GOOD

    # -- sequences ------------------------------------------------------------------------------------------

    async def play(self, patterns: Mapping[int, Sequence[tuple[int, int]]], repeats: int = FOR_EVER) -> None:
        """Play (duration in ns, level 0 or 1) steps on each channel 0 to 7, `repeats` times or for ever (-1).

        All channels last equally long, a multiple of 8 ns, because the instrument plays pieces of 8 ns. It
        begins as the trigger says. Raises LocalMisuse, DeviceError.
        """
        checked = self._checked(patterns, repeats)
        self._pattern = checked if repeats == FOR_EVER else None
        await self._stream(checked, repeats)

    async def stop(self) -> None:
        """All outputs at 0 at once, confirmed."""
        self._pattern = None
        await self._ask(lambda player: player.constant())
        if await self.is_playing():
            raise DeviceError(self.name, "it plays on although it was stopped")

    async def is_playing(self) -> bool:
        """Whether a sequence plays now; suspect after an underflow."""
        self._underflow = await self.read_underflow()
        return bool(await self._ask(lambda player: player.isStreaming()))

    async def has_sequence(self) -> bool:
        """Whether it holds a sequence, playing or waiting for its trigger or at its end."""
        return bool(await self._ask(lambda player: player.hasSequence()))

    async def has_finished(self) -> bool:
        """Whether a finite sequence has come to its end."""
        return bool(await self._ask(lambda player: player.hasFinished()))

    async def start_now(self) -> None:
        """The software trigger. Never repeated by the driver."""
        await self._ask(lambda player: player.startNow())

    async def arm_again(self) -> None:
        """Let a sequence that has finished wait for its trigger once more, where the rearm is manual."""
        if not await self._ask(lambda player: player.rearm()):
            raise DeviceError(self.name, "it has no sequence that could wait for a trigger: play one")

    async def read_underflow(self) -> bool:
        """Whether steps came too late, so that what was played is not what was asked for."""
        return bool(await self._ask(lambda player: player.getUnderflow()))

    # -- trigger and clock ----------------------------------------------------------------------------------

    async def set_clock(self, source: str) -> None:
        """Take the clock from one of `CLOCKS`. Sequences that play are disturbed."""
        number = self._number("clock", source, CLOCKS)
        await self._ask(lambda player: player.selectClock(load_library().clocks(number)))
        self._same("clock", source, await self.read_clock())

    async def read_clock(self) -> str:
        """Where the clock comes from."""
        return self._word("clock", await self._ask(lambda player: player.getClock().value), CLOCKS)

    async def set_trigger_start(self, start: str) -> None:
        """What starts a sequence, one of `STARTS`."""
        self._number("trigger start", start, STARTS)
        await self._set_trigger(start, await self.read_trigger_rearm())

    async def read_trigger_start(self) -> str:
        """What starts a sequence."""
        found = await self._ask(lambda player: player.getTriggerStart().value)
        return self._word("trigger start", found, STARTS)

    async def set_trigger_rearm(self, rearm: str) -> None:
        """Whether it waits for a trigger again by itself, one of `REARMS`."""
        self._number("trigger rearm", rearm, REARMS)
        await self._set_trigger(await self.read_trigger_start(), rearm)

    async def read_trigger_rearm(self) -> str:
        """Whether it waits for a trigger again by itself."""
        found = await self._ask(lambda player: player.getTriggerRearm().value)
        return self._word("trigger rearm", found, REARMS)

    async def _set_trigger(self, start: str, rearm: str) -> None:
        numbers = STARTS.index(start), REARMS.index(rearm)
        await self._ask(lambda player: player.setTrigger(*load_library().trigger(*numbers)))
        self._same(
            "trigger", (start, rearm), (await self.read_trigger_start(), await self.read_trigger_rearm())
        )

    # -- library --------------------------------------------------------------------------------------------

    async def _stream(self, patterns: Patterns, repeats: int) -> None:
        def send(player: Any) -> None:
            sequence = player.createSequence()
            for channel, steps in patterns.items():
                sequence.setDigital(channel, steps)
            player.stream(sequence, repeats)

        await self._ask(send)
        if not await self.has_sequence():
            raise DeviceError(self.name, "it took a sequence but holds none")

    async def _ask(self, work: Callable[[Any], T]) -> T:
        """Let the library do something in the session's thread."""
        player = self._player
        if player is None:
            raise Disconnected(self.name, "not connected")
        return await self._translated(lambda: work(player))

    async def _translated(self, work: Callable[[], T]) -> T:
        """The result of the library's work. What the instrument refused leaves the session as it is."""

        def carry_out() -> tuple[T | None, DeviceError | None]:
            try:
                return work(), None
            except Exception as error:  # a vendor library raises what it likes; each has its meaning below
                refusal = self._meaning(error)
                if isinstance(refusal, DeviceError):
                    return None, refusal
                raise refusal from error

        result, refusal = await self._line().call(carry_out)
        self._line().heard_at_ns = time.monotonic_ns()
        if refusal is not None:
            raise refusal
        return result  # type: ignore[return-value]  # without refusal it is what the work returned

    def _meaning(self, error: Exception) -> Exception:
        text = f"{type(error).__name__}: {error}"
        match error:
            case ConfigError() | LocalMisuse():
                return error
            case AssertionError() if "ID mismatch" in text:
                return ProtocolFault(self.name, f"a foreign reply: {error}")
            case AssertionError() if "No Pulse Streamer found" in text:
                return Disconnected(self.name, str(error))
            case AssertionError():
                return DeviceError(self.name, str(error))
            case _ if load_library().is_refusal(error):
                return DeviceError(self.name, text)
            case _ if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
                return LinkTimeout(self.name, text)
            case OSError():
                return Disconnected(self.name, text)
            case struct.error():
                return ProtocolFault(self.name, f"a reply of wrong length: {error}")
            case _:
                return ProtocolFault(self.name, f"the library stumbled over a reply: {text}")

    def _checked(self, patterns: Mapping[int, Sequence[tuple[int, int]]], repeats: int) -> Patterns:
        if repeats != FOR_EVER and repeats < 1:
            raise LocalMisuse(f"{repeats} repeats: give 1 or more, or {FOR_EVER} for ever")
        if not patterns or any(channel not in CHANNELS for channel in patterns):
            raise LocalMisuse(f"channels {sorted(patterns)}: give some of {CHANNELS[0]} to {CHANNELS[-1]}")
        durations_ns: set[int] = set()
        for channel, steps in patterns.items():
            if any(duration_ns < 1 or level not in (0, 1) for duration_ns, level in steps):
                raise LocalMisuse(f"channel {channel}: each step is a duration above 0 ns and a level 0 or 1")
            durations_ns.add(sum(duration_ns for duration_ns, _ in steps))
        if len(durations_ns) > 1 or min(durations_ns) == 0 or min(durations_ns) % GRAIN_NS:
            lasting = ", ".join(map(str, sorted(durations_ns)))
            raise LocalMisuse(f"channels last {lasting} ns: give all the same multiple of {GRAIN_NS} ns")
        if sum(len(steps) for steps in patterns.values()) > STEPS_MAX:
            raise LocalMisuse(f"more than {STEPS_MAX} steps: use fewer, or repeats")
        return {
            channel: [(int(ns), int(level)) for ns, level in steps] for channel, steps in patterns.items()
        }

    def _number(self, what: str, word: str, words: tuple[str, ...]) -> int:
        if word not in words:
            raise LocalMisuse(f"{what} is one of {', '.join(words)}, not {word!r}")
        return words.index(word)

    def _word(self, what: str, number: Any, words: tuple[str, ...]) -> str:
        with contextlib.suppress(IndexError, TypeError):
            if number >= 0:
                return words[int(number)]
        raise self._broken(f"{what} is {number!r}, none of the {len(words)} that are known")

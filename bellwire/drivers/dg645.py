"""Driver of the SRS DG645 digital delay generator (instruments.md section 3.1).

Owns delays, trigger, levels and burst, each set with `LERR?` polled to 0 and read back, because set commands
are silent. Refuses values outside the instrument's ranges before they are sent. Replies carry neither echo
nor number, so a late one is recognised by nothing but the rule that a session out of step is opened anew
(over VXI-11 the transport keeps messages apart as well). Sources: public drivers named in the design text;
never checked on a physical instrument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import IntEnum, StrEnum
from typing import ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.addresses import stream
from bellwire.drivers.dg645_parameters import (
    AMPLITUDE_MV,
    BURST_COUNT,
    BURST_DELAY_PS,
    BURST_PERIOD_NS,
    DELAY_MAX_PS,
    DELAY_STEP_PS,
    LEVEL_STEP_MV,
    OFFSET_MV,
    PARAMETERS,
    POLARITIES,
    RATE_STEP_HZ,
    TRIGGER_RATE_HZ,
)
from bellwire.drivers.faults import DeviceError, ProtocolFault
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.replies import line
from bellwire.drivers.session import SessionSettings, Transport
from bellwire.drivers.session_instrument import SessionInstrument

PORT = 5025
BAUD_RATE = 9600
PS_PER_S = 10**12
NS_PER_S = 10**9
ERRORS_POLLED_MAX = 32
REPLY_BYTES_MAX = 256

ERROR_NAMES: Mapping[int, str] = {
    10: "illegal value",
    11: "illegal mode",
    12: "illegal delay",
    13: "illegal link",
    14: "recall failed",
    15: "locked",
    16: "self test failed",
    17: "auto calibration failed",
    30: "lost data",
    110: "illegal command",
    111: "undefined command",
    112: "illegal query",
    113: "illegal set",
    126: "syntax error",
    170: "communication error",
    171: "overrun",
    254: "too many errors",
}


class Channel(IntEnum):
    """Delay channels."""

    T0 = 0
    T1 = 1
    A = 2
    B = 3
    C = 4
    D = 5
    E = 6
    F = 7
    G = 8
    H = 9


class Output(IntEnum):
    """Outputs (front panel BNCs)."""

    T0 = 0
    AB = 1
    CD = 2
    EF = 3
    GH = 4


class TriggerSource(StrEnum):
    """What triggers a cycle; the instrument numbers them from 0 in this order."""

    INTERNAL = "internal"
    EXTERNAL_RISING = "external_rising"
    EXTERNAL_FALLING = "external_falling"
    SINGLE_EXTERNAL_RISING = "single_external_rising"
    SINGLE_EXTERNAL_FALLING = "single_external_falling"
    SINGLE_SHOT = "single_shot"
    LINE = "line"


SOURCES = tuple(TriggerSource)


@dataclass(frozen=True, slots=True)
class Delay:
    """Delay of a channel after its reference channel, in ps; the instrument resolves 5 ps."""

    reference: Channel
    delay_ps: int


class Dg645(SessionInstrument):
    """Stanford Research Systems DG645 over TCP (port 5025), VXI-11 or its serial port.

    In parameters a channel is a letter A to H, an output T0, AB, CD, EF or GH.
    """

    model = "DG645"
    session_settings: ClassVar[SessionSettings] = SessionSettings(reply_bytes_max=REPLY_BYTES_MAX)
    parameters: ClassVar[tuple[Parameter, ...]] = PARAMETERS
    _errors_are_ours = False

    def _transport(self) -> Transport:
        return stream(self.name, self.address, port=PORT, baud_rate=BAUD_RATE)

    async def _open(self) -> None:
        self._errors_are_ours = False
        await super()._open()

    async def _identify(self) -> Identity:
        reply = await self._ask("*IDN?")
        parts = [part.strip() for part in reply.split(",")]
        if len(parts) != 4:
            raise ProtocolFault(self.name, f"*IDN? answered {reply!r}, not four fields")
        return Identity(parts[1], parts[2].removeprefix("s/n"), parts[3])

    async def _apply(self) -> None:
        if not self._wanted:
            return
        # Triggers rest while delays move, so that no half-configured pulse pattern leaves the outputs.
        if "trigger_source" in self._wanted:
            await self.set_trigger_source(TriggerSource.SINGLE_SHOT)
        await self._loosen_references()
        await super()._apply()

    async def safe_state(self) -> None:
        """No triggers: single shot, confirmed by read-back, and kept so over reconnects until a trigger
        source is configured.
        """
        await self.stop_triggers()

    async def _loosen_references(self) -> None:
        """Channels that will follow another one follow T0 first.

        As delivered B follows A, D follows C: A could not follow B before B was moved (illegal link).
        """
        for name, reference in self._wanted.items():
            word, _, channel = name.partition(".")
            if word == "reference" and await self.read_reference(channel) != reference:
                await self.set_reference(channel, Channel.T0.name)

    # -- trigger --------------------------------------------------------------------------------------------

    async def start_triggers(self) -> None:
        """Trigger by the internal rate, from now on and after each reconnection."""
        await self._keep_trigger_source(TriggerSource.INTERNAL)

    async def stop_triggers(self) -> None:
        """Trigger by nothing but `trigger()`, from now on and after each reconnection."""
        await self._keep_trigger_source(TriggerSource.SINGLE_SHOT)

    async def _keep_trigger_source(self, source: TriggerSource) -> None:
        async with self._configuration_lock:  # or a probe would judge the old source by the new wish
            self._wanted["trigger_source"] = source
            await self.set_trigger_source(source)

    async def set_trigger_source(self, source: str) -> None:
        """Set what triggers a cycle, a value of `TriggerSource`."""
        if source not in SOURCES:
            raise LocalMisuse(f"trigger source {source!r} is none of {', '.join(SOURCES)}")
        await self._set(f"TSRC {SOURCES.index(TriggerSource(source))}")
        self._same("trigger source", source, await self.read_trigger_source())

    async def read_trigger_source(self) -> TriggerSource:
        """What triggers a cycle."""
        number = await self._whole("TSRC?")
        if not 0 <= number < len(SOURCES):
            raise self._broken(f"TSRC? answered {number}, not 0 to {len(SOURCES) - 1}")
        return SOURCES[number]

    async def set_trigger_rate_hz(self, rate_hz: float) -> None:
        """Set the internal trigger rate, 1e-4 to 10e6 Hz; read back within its step of 1 uHz."""
        self._in_range("trigger rate", rate_hz, TRIGGER_RATE_HZ, "Hz")
        await self._set(f"TRAT {rate_hz:.6f}")
        self._close_to("trigger rate", rate_hz, await self.read_trigger_rate_hz(), RATE_STEP_HZ)

    async def read_trigger_rate_hz(self) -> float:
        """Internal trigger rate in Hz."""
        return float(await self._number("TRAT?"))

    async def trigger(self) -> None:
        """One software trigger.

        Never repeated by the driver: a lost one is a fault for the caller to judge.
        """
        await self._set("*TRG")

    # -- delays ---------------------------------------------------------------------------------------------

    async def set_delay(self, channel: Channel, delay: Delay) -> None:
        """Set reference and delay of a channel A .. H at once."""
        if channel < Channel.A:
            raise LocalMisuse(f"channel {channel.name} cannot be moved; use A .. H")
        if abs(delay.delay_ps) > DELAY_MAX_PS or delay.delay_ps % DELAY_STEP_PS:
            raise LocalMisuse(
                f"delay {delay.delay_ps} ps must be a multiple of {DELAY_STEP_PS} ps up to {DELAY_MAX_PS} ps"
            )
        await self._set(f"DLAY {int(channel)},{int(delay.reference)},{_seconds(delay.delay_ps)}")
        self._same(f"delay of {channel.name}", delay, await self.read_delay(channel))

    async def read_delay(self, channel: Channel) -> Delay:
        """Reference channel and delay of a channel."""
        question = f"DLAY?{int(channel)}"
        reply = await self._ask(question)
        reference, _, seconds = reply.partition(",")
        try:
            return Delay(Channel(int(reference)), int(Decimal(seconds) * PS_PER_S))
        except (ValueError, InvalidOperation):
            raise self._broken(f"{question} answered {reply!r}, not CHANNEL,SECONDS") from None

    async def set_delay_ps(self, channel: str, delay_ps: int) -> None:
        """Set the delay of a channel after the reference that it has."""
        reference = (await self.read_delay(Channel[channel])).reference
        await self.set_delay(Channel[channel], Delay(reference, delay_ps))

    async def read_delay_ps(self, channel: str) -> int:
        """Delay of a channel after its reference, in ps."""
        return (await self.read_delay(Channel[channel])).delay_ps

    async def set_reference(self, channel: str, reference: str) -> None:
        """Set the channel after which a channel is delayed; its delay stays.

        Raises DeviceError for a ring.
        """
        await self._set(f"LINK {int(Channel[channel])},{int(Channel[reference])}")
        self._same(f"reference of {channel}", reference, await self.read_reference(channel))

    async def read_reference(self, channel: str) -> str:
        """The channel after which a channel is delayed."""
        question = f"LINK?{int(Channel[channel])}"
        number = await self._whole(question)
        if number not in list(Channel):
            raise self._broken(f"{question} answered {number}, which is no channel")
        return Channel(number).name

    # -- outputs --------------------------------------------------------------------------------------------

    async def set_amplitude_mv(self, output: str, amplitude_mv: int) -> None:
        """Set the amplitude of an output, 500 to 5000 mV in steps of 10."""
        self._in_steps("amplitude", amplitude_mv, AMPLITUDE_MV)
        await self._set(f"LAMP {int(Output[output])},{amplitude_mv / 1000:.2f}")
        self._same(f"amplitude of {output}", amplitude_mv, await self.read_amplitude_mv(output))

    async def read_amplitude_mv(self, output: str) -> int:
        """Amplitude of an output in mV."""
        return int(await self._number(f"LAMP?{int(Output[output])}") * 1000)

    async def set_offset_mv(self, output: str, offset_mv: int) -> None:
        """Set the offset of an output, -2000 to 2000 mV in steps of 10."""
        self._in_steps("offset", offset_mv, OFFSET_MV)
        await self._set(f"LOFF {int(Output[output])},{offset_mv / 1000:.2f}")
        self._same(f"offset of {output}", offset_mv, await self.read_offset_mv(output))

    async def read_offset_mv(self, output: str) -> int:
        """Offset of an output in mV."""
        return int(await self._number(f"LOFF?{int(Output[output])}") * 1000)

    async def set_polarity(self, output: str, polarity: str) -> None:
        """Set the polarity of an output, "negative" or "positive"."""
        if polarity not in POLARITIES:
            raise LocalMisuse(f"polarity {polarity!r} is none of {', '.join(POLARITIES)}")
        await self._set(f"LPOL {int(Output[output])},{POLARITIES.index(polarity)}")
        self._same(f"polarity of {output}", polarity, await self.read_polarity(output))

    async def read_polarity(self, output: str) -> str:
        """Polarity of an output."""
        question = f"LPOL?{int(Output[output])}"
        number = await self._whole(question)
        if number not in (0, 1):
            raise self._broken(f"{question} answered {number}, not 0 or 1")
        return POLARITIES[number]

    # -- burst ----------------------------------------------------------------------------------------------

    async def set_burst(self, on: bool) -> None:
        """Burst mode on or off."""
        await self._set(f"BURM {int(on)}")
        self._same("burst", on, await self.read_burst())

    async def read_burst(self) -> bool:
        """Whether each trigger starts a burst."""
        return await self._whole("BURM?") != 0

    async def set_burst_count(self, count: int) -> None:
        """Set the number of pulses of a burst."""
        self._in_range("burst count", count, BURST_COUNT, "pulses")
        await self._set(f"BURC {count}")
        self._same("burst count", count, await self.read_burst_count())

    async def read_burst_count(self) -> int:
        """Number of pulses of a burst."""
        return await self._whole("BURC?")

    async def set_burst_period_ns(self, period_ns: int) -> None:
        """Set the time from pulse to pulse of a burst, 100 ns to 2000 s."""
        self._in_range("burst period", period_ns, BURST_PERIOD_NS, "ns")
        await self._set(f"BURP {_seconds(period_ns * 1000)}")
        self._same("burst period", period_ns, await self.read_burst_period_ns())

    async def read_burst_period_ns(self) -> int:
        """Time from pulse to pulse of a burst in ns."""
        return int(await self._number("BURP?") * NS_PER_S)

    async def set_burst_delay_ps(self, delay_ps: int) -> None:
        """Set the time from the trigger to the first pulse of a burst."""
        self._in_range("burst delay", delay_ps, BURST_DELAY_PS, "ps")
        await self._set(f"BURD {_seconds(delay_ps)}")
        self._same("burst delay", delay_ps, await self.read_burst_delay_ps())

    async def read_burst_delay_ps(self) -> int:
        """Time from the trigger to the first pulse of a burst in ps."""
        return int(await self._number("BURD?") * PS_PER_S)

    # -- lines ----------------------------------------------------------------------------------------------

    async def _ask(self, command: str) -> str:
        octets = await self._line().exchange(command.encode("ascii") + b"\r\n", line())
        return octets.decode("ascii", "replace").strip()

    async def _set(self, command: str) -> None:
        if not self._errors_are_ours:  # what earlier owners left must not be blamed on our sets
            await self._poll_errors()
            self._errors_are_ours = True
        await self._line().send(command.encode("ascii") + b"\r\n")
        errors = await self._poll_errors()
        if errors:
            spoken = ", ".join(f"{code} {ERROR_NAMES.get(code, 'unnamed')}" for code in errors)
            raise DeviceError(self.name, f"{command!r} refused: {spoken}")

    async def _poll_errors(self) -> list[int]:
        """Pop the error queue until it says 0."""
        errors: list[int] = []
        for _ in range(ERRORS_POLLED_MAX):
            code = await self._whole("LERR?")
            if code == 0:
                return errors
            errors.append(code)
        raise self._broken(f"LERR? gave no 0 in {ERRORS_POLLED_MAX} polls, last {errors[-1]}")

    async def _number(self, question: str) -> Decimal:
        reply = await self._ask(question)
        try:
            return Decimal(reply)
        except InvalidOperation:
            raise self._broken(f"{question} answered {reply!r}, not a number") from None

    async def _whole(self, question: str) -> int:
        reply = await self._ask(question)
        try:
            return int(reply)
        except ValueError:
            raise self._broken(f"{question} answered {reply!r}, not a whole number") from None

    def _in_steps(self, what: str, level_mv: int, limits_mv: tuple[int, int]) -> None:
        self._in_range(what, level_mv, limits_mv, "mV")
        if level_mv % LEVEL_STEP_MV:
            raise LocalMisuse(f"{what} {level_mv} mV is not in steps of {LEVEL_STEP_MV} mV")


def _seconds(picoseconds: int) -> str:
    """Picoseconds as seconds in decimal, without floating point."""
    return f"{Decimal(picoseconds).scaleb(-12):.12f}"

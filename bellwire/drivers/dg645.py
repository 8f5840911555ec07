"""Driver of the SRS DG645 digital delay generator (instruments.md section 3.1).

Owns delays, trigger, amplitudes and burst, each set with `LERR?` polled to 0 and read back, because set
commands are silent. Refuses values outside the instrument's ranges before they are sent. Sources: public
drivers named in the design text; never checked on a physical instrument.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from typing import TYPE_CHECKING

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError, DeviceRestarted, ProtocolFault
from bellwire.drivers.instrument import Backoff, Identity, Instrument, InstrumentState

if TYPE_CHECKING:
    from bellwire.drivers.visa_link import LineSettings, VisaLink

PS_PER_S = 10**12
DELAY_STEP_PS = 5
DELAY_MAX_PS = 2000 * PS_PER_S
AMPLITUDE_MV = (500, 5000)
TRIGGER_RATE_HZ = (1e-6, 10e6)
BURST_PERIOD_NS = (100, 2000 * 10**9 - 10)
ERRORS_POLLED_MAX = 32
RATE_TOLERANCE = 1e-6
PROBE_S = 2.0

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


class TriggerSource(IntEnum):
    """Trigger sources."""

    INTERNAL = 0
    EXTERNAL_RISING = 1
    EXTERNAL_FALLING = 2
    SINGLE_EXTERNAL_RISING = 3
    SINGLE_EXTERNAL_FALLING = 4
    SINGLE_SHOT = 5
    LINE = 6


@dataclass(frozen=True, slots=True)
class Delay:
    """Delay of a channel after its reference channel, in ps; the instrument resolves 5 ps."""

    reference: Channel
    delay_ps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """`count` pulses, `period_ns` apart, the first `delay_ps` after the trigger."""

    count: int
    period_ns: int
    delay_ps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dg645Settings:
    """Configuration to assert after each connection.

    What is not named stays as it is; `burst` None = burst off.
    """

    trigger_source: TriggerSource
    trigger_rate_hz: float | None = None
    delays: Mapping[Channel, Delay] = field(default_factory=dict[Channel, Delay])
    amplitudes_mv: Mapping[Output, int] = field(default_factory=dict[Output, int])
    burst: Burst | None = None


class Dg645(Instrument):
    """Stanford Research Systems DG645 over TCP (port 5025)."""

    model = "DG645"

    def __init__(
        self,
        name: str,
        host: str,
        port: int = 5025,
        *,
        serial_number: str | None = None,
        line: LineSettings | None = None,
        backoff: Backoff | None = None,
        on_state: Callable[[InstrumentState], None] | None = None,
        probe_s: float = PROBE_S,
    ) -> None:
        super().__init__(name, serial_number=serial_number, backoff=backoff, on_state=on_state)
        self._address = (host, port)
        self._line = line
        self._link: VisaLink | None = None
        self._probe_s = probe_s
        self._settings: Dg645Settings | None = None

    # -- life cycle -----------------------------------------------------------------------------------------

    async def _open(self) -> None:
        from bellwire.drivers.visa_link import (
            VisaLink,
        )  # pyvisa is slow to import; the command line must not pay

        self._link = VisaLink(self.name, *self._address, self._line)
        await self._link.open()

    async def _identify(self) -> Identity:
        reply = await self._query("*IDN?")
        parts = [part.strip() for part in reply.split(",")]
        if len(parts) != 4:
            raise ProtocolFault(self.name, f"*IDN? answered {reply!r}, not four fields")
        await self._poll_errors()  # errors of earlier owners must not be blamed on our sets
        return Identity(parts[1], parts[2].removeprefix("s/n"), parts[3])

    async def _shut(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _apply(self) -> None:
        settings = self._settings
        if settings is None:
            return
        # Triggers rest while delays move, so that no half-configured pulse pattern leaves the outputs.
        await self.set_trigger_source(TriggerSource.SINGLE_SHOT)
        for channel, delay in settings.delays.items():
            await self.set_delay(channel, delay)
        for output, amplitude_mv in settings.amplitudes_mv.items():
            await self.set_amplitude_mv(output, amplitude_mv)
        await self.set_burst(settings.burst)
        if settings.trigger_rate_hz is not None:
            await self.set_trigger_rate_hz(settings.trigger_rate_hz)
        await self.set_trigger_source(settings.trigger_source)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._probe_s)
            async with self._configuration_lock:
                if await self._drifted():
                    raise DeviceRestarted(self.name, "the configuration is gone; asserting it again")

    async def _drifted(self) -> bool:
        """Whether trigger source or delays differ from the configuration; False when there is none."""
        settings, source = self._settings, await self.read_trigger_source()
        if settings is None:
            return False
        if source is not settings.trigger_source:
            return True
        for channel, delay in settings.delays.items():
            if await self.read_delay(channel) != delay:
                return True
        return False

    def _is_open(self) -> bool:
        return self._link is not None

    def _heard_at_ns(self) -> int | None:
        return self._link.heard_at_ns if self._link is not None else super()._heard_at_ns()

    async def configure(self, settings: Dg645Settings) -> None:
        """Assert and remember a configuration.

        Raises LocalMisuse (range), DeviceError (refused, or reads back else).
        """
        self._settings = settings
        await self._apply_if_open()

    async def safe_state(self) -> None:
        """No triggers: single shot, confirmed by read-back, and kept so over reconnects until `configure`."""
        async with self._configuration_lock:
            if self._settings is not None:
                self._settings = replace(self._settings, trigger_source=TriggerSource.SINGLE_SHOT)
            await self.set_trigger_source(TriggerSource.SINGLE_SHOT)

    # -- settings -------------------------------------------------------------------------------------------

    async def set_delay(self, channel: Channel, delay: Delay) -> None:
        """Set the delay of a channel A .. H."""
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
        reply = await self._query(f"DLAY?{int(channel)}")
        reference, _, seconds = reply.partition(",")
        try:
            return Delay(Channel(int(reference)), int(self._number(seconds) * PS_PER_S))
        except ValueError:
            raise ProtocolFault(self.name, f"DLAY? answered {reply!r}") from None

    async def set_trigger_source(self, source: TriggerSource) -> None:
        """Set what triggers a cycle."""
        await self._set(f"TSRC {int(source)}")
        self._same("trigger source", source, await self.read_trigger_source())

    async def read_trigger_source(self) -> TriggerSource:
        """What triggers a cycle."""
        reply = await self._query("TSRC?")
        try:
            return TriggerSource(int(reply))
        except ValueError:
            raise ProtocolFault(self.name, f"TSRC? answered {reply!r}") from None

    async def set_trigger_rate_hz(self, rate_hz: float) -> None:
        """Set the internal trigger rate, 1e-6 .. 10e6 Hz; read back within 1e-6 of it or 1 uHz."""
        if not TRIGGER_RATE_HZ[0] <= rate_hz <= TRIGGER_RATE_HZ[1]:
            raise LocalMisuse(f"trigger rate {rate_hz} Hz is outside {TRIGGER_RATE_HZ}")
        await self._set(f"TRAT {rate_hz:.6f}")
        found = await self.read_trigger_rate_hz()
        if abs(found - rate_hz) > max(RATE_TOLERANCE * rate_hz, 1e-6):
            raise DeviceError(self.name, f"trigger rate was set to {rate_hz} Hz but reads {found} Hz")

    async def read_trigger_rate_hz(self) -> float:
        """Internal trigger rate in Hz."""
        return float(self._number(await self._query("TRAT?")))

    async def set_amplitude_mv(self, output: Output, amplitude_mv: int) -> None:
        """Set the amplitude of an output, 500 .. 5000 mV in steps of 10."""
        if not AMPLITUDE_MV[0] <= amplitude_mv <= AMPLITUDE_MV[1] or amplitude_mv % 10:
            raise LocalMisuse(f"amplitude {amplitude_mv} mV must lie in {AMPLITUDE_MV}, in steps of 10")
        await self._set(f"LAMP {int(output)},{amplitude_mv / 1000:.2f}")
        self._same(f"amplitude of {output.name}", amplitude_mv, await self.read_amplitude_mv(output))

    async def read_amplitude_mv(self, output: Output) -> int:
        """Amplitude of an output in mV."""
        return int(self._number(await self._query(f"LAMP? {int(output)}")) * 1000)

    async def set_burst(self, burst: Burst | None) -> None:
        """Set a burst, or None: burst mode off."""
        if burst is not None:
            if not BURST_PERIOD_NS[0] <= burst.period_ns <= BURST_PERIOD_NS[1]:
                raise LocalMisuse(f"burst period {burst.period_ns} ns is outside {BURST_PERIOD_NS}")
            await self._set(f"BURC {burst.count}")
            await self._set(f"BURP {_seconds(burst.period_ns * 1000)}")
            await self._set(f"BURD {_seconds(burst.delay_ps)}")
        await self._set(f"BURM {int(burst is not None)}")
        self._same("burst", burst, await self.read_burst())

    async def read_burst(self) -> Burst | None:
        """The burst, None when burst mode is off."""
        if self._number(await self._query("BURM?")) == 0:
            return None
        return Burst(
            count=int(self._number(await self._query("BURC?"))),
            period_ns=int(self._number(await self._query("BURP?")) * 10**9),
            delay_ps=int(self._number(await self._query("BURD?")) * PS_PER_S),
        )

    async def trigger(self) -> None:
        """One software trigger.

        Never repeated by the driver: a lost one is a fault for the caller to judge.
        """
        await self._set("*TRG")

    # -- lines ----------------------------------------------------------------------------------------------

    async def _query(self, command: str) -> str:
        if self._link is None:
            raise ProtocolFault(self.name, f"{command!r} while not connected")
        return await self._link.query(command)

    async def _set(self, command: str) -> None:
        if self._link is None:
            raise ProtocolFault(self.name, f"{command!r} while not connected")
        await self._link.send(command)
        errors = await self._poll_errors()
        if errors:
            spoken = ", ".join(f"{code} {ERROR_NAMES.get(code, 'unnamed')}" for code in errors)
            raise DeviceError(self.name, f"{command!r} refused: {spoken}")

    async def _poll_errors(self) -> list[int]:
        """Pop the error queue until it says 0."""
        errors: list[int] = []
        for _ in range(ERRORS_POLLED_MAX):
            code = int(self._number(await self._query("LERR?")))
            if code == 0:
                return errors
            errors.append(code)
        raise DeviceError(self.name, f"LERR? gave no 0 in {ERRORS_POLLED_MAX} polls, last {errors[-1]}")

    def _number(self, reply: str) -> Decimal:
        try:
            return Decimal(reply)
        except InvalidOperation:
            raise ProtocolFault(self.name, f"expected a number, got {reply!r}") from None

    def _same(self, what: str, wanted: object, found: object) -> None:
        if wanted != found:
            raise DeviceError(self.name, f"{what} was set to {wanted} but reads {found}")


def _seconds(picoseconds: int) -> str:
    """Picoseconds as seconds in decimal, without floating point."""
    return f"{Decimal(picoseconds).scaleb(-12):.12f}"

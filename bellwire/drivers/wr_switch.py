"""Driver of a White Rabbit switch by SNMP: how its clock follows the one it is locked to (instruments.md
3.4).

Owns the reading of the servo and the judgement how old it is: a servo that has died still shows its last
good state, only its counter of updates stands still. The agent itself reads the servo every 5 s, so a
counter is called standing after two such periods and a while. Refuses to set anything. A GET changes nothing
and an answer names its request: what is lost is asked for again, what comes late is passed over.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import ClassVar

from bellwire.core.errors import ConfigError
from bellwire.drivers.addresses import is_serial, is_visa, place
from bellwire.drivers.datagram_transport import DatagramTransport, datagrams
from bellwire.drivers.faults import DeviceError, IdentityRefused, LinkTimeout
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.readings import Quality
from bellwire.drivers.roles import ClockStanding
from bellwire.drivers.session import SessionSettings, Take, Transport
from bellwire.drivers.session_instrument import SessionInstrument
from bellwire.drivers.snmp_words import (
    REQUEST_ID_MAX,
    BadSnmp,
    ObjectId,
    SnmpValue,
    answer,
    get_request,
    require_pysnmp,
)
from bellwire.drivers.wr_objects import CACHE_S, Servo, ServoState, Version

PORT = 161
TRIES = 3
STALE_S = 2 * CACHE_S + 2.0
"""How long the counter of updates may stand still before what the servo shows is called old."""
ABOVE_MAX = 1 << 64
SIGN = 1 << 63

LOOK: tuple[ObjectId, ...] = (
    Version.SERIAL_NUMBER.object_id,
    Servo.STATE_NUMBER.object_id,
    Servo.CLOCK_OFFSET_PS.object_id,
    Servo.ROUND_TRIP_PS.object_id,
    Servo.LINK_LENGTH_M.object_id,
    Servo.UPDATES.object_id,
)


class WrSwitch(SessionInstrument):
    """A White Rabbit switch, `udp://HOST[:161]`, read community `public`.

    `repeated_requests`: GETs that went unanswered; `passed_over`: datagrams that answered nothing asked.
    """

    model = "WRS"
    community: ClassVar[str] = "public"
    session_settings: ClassVar[SessionSettings] = SessionSettings(timeout_s=1.0)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(name="locked", meaning="the servo tracks the phase", kind="switch", read="read_locked"),
        Parameter(
            name="offset_ps",
            meaning="offset from the master",
            unit="ps",
            kind="integer",
            read="read_offset_ps",
        ),
        Parameter(
            name="round_trip_ps",
            meaning="round trip to the master and back",
            unit="ps",
            kind="integer",
            read="read_round_trip_ps",
        ),
        Parameter(
            name="link_length_m",
            meaning="length of the fibre as the switch estimates it",
            unit="m",
            kind="integer",
            read="read_link_length_m",
        ),
        Parameter(
            name="servo_updates",
            meaning="updates of the servo since its start",
            kind="integer",
            read="read_servo_updates",
        ),
        Parameter(name="servo_state", meaning="what the servo does", kind="text", read="read_servo_state"),
    )
    repeated_requests = 0
    passed_over = 0
    _request_id: int | None = None
    _updates: int | None = None
    _updated_at_ns = 0

    def _transport(self) -> Transport:
        require_pysnmp(self.name)
        if is_serial(self.address) or is_visa(self.address):
            raise ConfigError(f'"{self.address}" is not udp://HOST or udp://HOST:PORT', where=self.name)
        found = place(self.address, PORT, instrument=self.name)
        return DatagramTransport(self.name, found.host, found.port)

    async def _open(self) -> None:
        # Another number each time: an answer to a connection before this one is none to this one.
        self._request_id = random.SystemRandom().randrange(REQUEST_ID_MAX)
        self._updates = None
        await super()._open()

    async def _identify(self) -> Identity:
        found = await self._get((Version.SERIAL_NUMBER.object_id, Version.SOFTWARE.object_id))
        serial_number, software = (found[one.object_id] for one in (Version.SERIAL_NUMBER, Version.SOFTWARE))
        if not isinstance(serial_number, bytes) or not isinstance(software, bytes):
            return Identity("an agent without WR-SWITCH-MIB", "", "")
        return Identity(self.model, _text(serial_number), _text(software))

    async def safe_state(self) -> None:
        """Nothing to bring anywhere: the switch is only read. It is looked at once."""
        await self.read_clock()

    async def _probe(self) -> None:
        await self.read_clock()

    def _quality(self, parameter: str) -> Quality:
        return Quality.STALE if self._is_stale() else Quality.GOOD

    def _is_stale(self) -> bool:
        standing_ns = time.monotonic_ns() - self._updated_at_ns
        return self._updates is not None and standing_ns > STALE_S * self._pace * 1e9

    # -- clock ----------------------------------------------------------------------------------------------

    async def read_clock(self) -> ClockStanding:
        """How the clock stands; not locked either when the servo stopped updating.

        Raises DeviceError when the switch has no servo (it is a master), or shows no round trip.
        """
        look = await self._look()
        return ClockStanding(
            locked=look[Servo.STATE_NUMBER] == ServoState.TRACK_PHASE and not self._is_stale(),
            offset_ps=_signed(look[Servo.CLOCK_OFFSET_PS]),
            round_trip_ps=look[Servo.ROUND_TRIP_PS],
            updates=look[Servo.UPDATES],
        )

    async def read_locked(self) -> bool:
        """Whether the servo tracks the phase, and still updates."""
        return (await self.read_clock()).locked

    async def read_offset_ps(self) -> int:
        """Offset from the master in ps; newer releases of the switch give its magnitude."""
        return (await self.read_clock()).offset_ps

    async def read_round_trip_ps(self) -> int:
        """Round trip in ps, the delays of the hardware included."""
        return (await self.read_clock()).round_trip_ps

    async def read_link_length_m(self) -> int:
        """Length of the fibre in m, as the switch estimates it from the round trip."""
        return (await self._look())[Servo.LINK_LENGTH_M]

    async def read_servo_updates(self) -> int:
        """Updates of the servo, modulo 2^32."""
        return (await self.read_clock()).updates

    async def read_servo_state(self) -> str:
        """The servo's state by the name of its number."""
        number = (await self._look())[Servo.STATE_NUMBER]
        try:
            return ServoState(number).name
        except ValueError:
            return f"state {number}"

    async def _look(self) -> dict[Servo, int]:
        found = await self._get(LOOK)
        serial_number = found.pop(Version.SERIAL_NUMBER.object_id)
        known = self.identity.serial_number if self.identity is not None else None
        told = _text(serial_number) if isinstance(serial_number, bytes) else ""
        if known is not None and told != known:
            raise IdentityRefused(self.name, "serial number", known, told)
        look: dict[Servo, int] = {}
        for object_id, value in found.items():
            column = Servo(object_id[-2])
            if not isinstance(value, int):
                raise DeviceError(
                    self.name, f"the switch shows no {column.name} of a servo: is one of its ports a slave?"
                )
            look[column] = value
        if look[Servo.UPDATES] != self._updates:
            self._updates, self._updated_at_ns = look[Servo.UPDATES], time.monotonic_ns()
        return look

    # -- datagrams ------------------------------------------------------------------------------------------

    async def _get(self, objects: tuple[ObjectId, ...]) -> dict[ObjectId, SnmpValue]:
        """The values of all objects at once. Raises LinkTimeout after three tries, DeviceError."""
        for _ in range(TRIES):
            self._request_id = ((self._request_id or 0) + 1) % REQUEST_ID_MAX
            request = get_request(self._request_id, self.community, objects)
            octets = await self._line().try_exchange(request, self._answer_to(self._request_id))
            if octets is not None:
                break
            self.repeated_requests += 1
        else:
            fault = LinkTimeout(
                self.name, f"no answer, {TRIES} times: look at the address and the read community"
            )
            self._line().give_up(fault)
            raise fault
        found = answer(octets)
        if found.error:
            raise DeviceError(self.name, f"SNMP error {found.error} at object {found.error_index}")
        values = dict(found.values)
        if set(values) != set(objects):
            raise self._broken(f"the answer is about {sorted(values)}, not about what was asked")
        return values

    def _answer_to(self, request_id: int) -> Take:
        def take(octets: bytes) -> tuple[bytes, bytes] | None:
            for datagram in datagrams(octets):
                try:
                    if answer(datagram).request_id == request_id:
                        return datagram, b""
                except BadSnmp:
                    continue
            return None

        return take

    def _take_stray(self) -> Callable[[bytes], None]:
        def stray(octets: bytes) -> None:
            self.passed_over += len(datagrams(octets))

        return stray


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace").strip()


def _signed(value: int) -> int:
    """The two's complement that older releases put into a Counter64."""
    return value - ABOVE_MAX if value >= SIGN else value

"""Driver of the Thorlabs MPC320 motorised polarisation controller on its APT line (instruments.md 5.3).

Owns the three paddles: degrees and counts, one channel enabled while it moves, the wait for its end by
status, the gap between two polls of a channel. Messages that come unasked are taken by their id. The
protocol has neither checksum nor request number: a status says which paddle it is of and is true whoever
asked for it; a position, velocity or state that cannot be, or an unknown id, puts the line out of step, and
opening it again drains it. Moves are absolute; none is sent twice. Sources: the public drivers of QMI and
PnPQ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.addresses import stream
from bellwire.drivers.apt_words import (
    ENABLED,
    FAULTY,
    MOVING,
    AptMessage,
    Hardware,
    Id,
    MoveTo,
    PaddleParameters,
    PaddleStatus,
    StatusBit,
    UnknownMessage,
    channel_mask,
    decoded,
    messages,
)
from bellwire.drivers.faults import DeviceError, ProtocolFault
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter, for_each
from bellwire.drivers.readings import Quality
from bellwire.drivers.session import SessionSettings, Transport
from bellwire.drivers.session_instrument import SessionInstrument

BAUD_RATE = 115_200
PADDLES = (1, 2, 3)
ANGLE_DEG = (0.0, 170.0)
COUNTS = 1370
"""Counts of the whole travel."""
DEG_PER_COUNT = ANGLE_DEG[1] / COUNTS
SPREAD_COUNTS = 2
"""How far from its goal a paddle may come to rest."""
BEYOND_COUNTS = 40
"""How far outside of its travel a position may read."""
VELOCITY_PERCENT = (10, 100)
VELOCITY_MAX_DEG_S = 400.0

POLL_S = 0.02
"""Between two polls of one paddle; below 10 ms the controller misbehaves."""
START_S = 0.5
"""How long a paddle may stand still after its order."""
MOVE_S_MAX = 10.0
"""Longest travel at 10 % takes 4.3 s."""
ENABLE_S_MAX = 1.0


class Mpc320(SessionInstrument):
    """Thorlabs MPC320. `unasked_messages`: what came without a question, moves that ended included."""

    model = "MPC320"
    session_settings: ClassVar[SessionSettings] = SessionSettings(timeout_s=0.5, quiet_s=0.002)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="velocity_percent",
            meaning="speed of the paddles, of 400 deg/s",
            unit="%",
            kind="integer",
            read="read_velocity_percent",
            write="set_velocity_percent",
            low=VELOCITY_PERCENT[0],
            high=VELOCITY_PERCENT[1],
        ),
        Parameter(
            name="home_angle_deg",
            meaning="where homing goes",
            unit="deg",
            read="read_home_angle_deg",
            write="set_home_angle_deg",
            low=ANGLE_DEG[0],
            high=ANGLE_DEG[1],
            tolerance=DEG_PER_COUNT / 2 + 1e-9,
        ),
        *for_each(
            PADDLES,
            Parameter(
                name="angle_deg",
                meaning="angle of paddle {}",
                unit="deg",
                read="read_angle_deg",
                write="set_angle_deg",
                low=ANGLE_DEG[0],
                high=ANGLE_DEG[1],
                emits=True,
                tolerance=(SPREAD_COUNTS + 0.5) * DEG_PER_COUNT + 1e-9,
            ),
        ),
    )
    unasked_messages = 0
    _faulty_bits = StatusBit(0)
    _polled_at_s: dict[int, float]
    _moving: asyncio.Lock
    _polling: asyncio.Lock

    @property
    def paddles(self) -> Sequence[int]:
        """1, 2, 3."""
        return PADDLES

    def _transport(self) -> Transport:
        return stream(self.name, self.address, baud_rate=BAUD_RATE, flow_control=True)

    async def _open(self) -> None:
        self._moving = asyncio.Lock()
        self._polling = asyncio.Lock()
        self._polled_at_s = {}
        await super()._open()

    async def _identify(self) -> Identity:
        reply = await self._ask(AptMessage(Id.HW_REQ_INFO), Id.HW_GET_INFO)
        try:
            hardware = Hardware.decoded(reply.data or b"")
        except ValueError as error:
            raise self._broken(f"the hardware record makes no sense: {error}") from None
        return Identity(hardware.model, str(hardware.serial_number), ".".join(map(str, hardware.firmware)))

    async def safe_state(self) -> None:
        """All channels disabled and at rest, confirmed by the status of each paddle."""
        async with self._configuration_lock:
            await self._enable(0)
            for paddle in PADDLES:
                await self._rest(paddle)

    def _quality(self, parameter: str) -> Quality:
        return Quality.SUSPECT if self._faulty_bits else Quality.GOOD

    # -- paddles --------------------------------------------------------------------------------------------

    async def set_angle_deg(self, paddle: int, angle_deg: float) -> None:
        """Turn a paddle, 0 to 170 deg in steps of 0.124; returns when it rests there.

        Raises DeviceError when it does not start, does not arrive within 10 s, or reports a fault.
        """
        self._in_range("angle", angle_deg, ANGLE_DEG, "deg")
        goal = round(angle_deg / DEG_PER_COUNT)
        order = AptMessage(Id.MOVE_ABSOLUTE, data=MoveTo(_mask(paddle), goal).encoded())
        await self._move(paddle, order, goal)

    async def read_angle_deg(self, paddle: int) -> float:
        """Angle of a paddle in deg."""
        return (await self._status(paddle)).position * DEG_PER_COUNT

    async def home(self) -> None:
        """Bring all paddles to the home angle, one after the other. Raises DeviceError as a move does."""
        goal = (await self._parameters()).home_position
        for paddle in PADDLES:
            await self._move(paddle, AptMessage(Id.MOVE_HOME, _mask(paddle)), goal)

    async def set_velocity_percent(self, velocity_percent: int) -> None:
        """Speed of all paddles, 10 to 100 % of 400 deg/s."""
        self._in_range("velocity", velocity_percent, VELOCITY_PERCENT, "%")
        known = await self._parameters()
        await self._set_parameters(PaddleParameters(velocity_percent, known.home_position, known.jog_steps))

    async def read_velocity_percent(self) -> int:
        """Speed of all paddles in % of 400 deg/s."""
        return (await self._parameters()).velocity_percent

    async def set_home_angle_deg(self, angle_deg: float) -> None:
        """Where homing goes, 0 to 170 deg."""
        self._in_range("home angle", angle_deg, ANGLE_DEG, "deg")
        known = await self._parameters()
        home_position = round(angle_deg / DEG_PER_COUNT)
        await self._set_parameters(PaddleParameters(known.velocity_percent, home_position, known.jog_steps))

    async def read_home_angle_deg(self) -> float:
        """Where homing goes, in deg."""
        return (await self._parameters()).home_position * DEG_PER_COUNT

    # -- moves ----------------------------------------------------------------------------------------------

    async def _move(self, paddle: int, order: AptMessage, goal: int) -> None:
        session = self._line()
        async with self._moving:
            await self._enable(_mask(paddle))
            await session.send(order.encoded())
            try:
                status = await self._arrival(paddle, goal)
            except DeviceError:
                await self._enable(0)
                raise
            await self._enable(0)
        if abs(status.position - goal) > SPREAD_COUNTS:
            found_deg, wanted_deg = status.position * DEG_PER_COUNT, goal * DEG_PER_COUNT
            raise DeviceError(
                self.name, f"paddle {paddle} rests at {found_deg:.2f} deg, not {wanted_deg:.2f} deg"
            )

    async def _arrival(self, paddle: int, goal: int) -> PaddleStatus:
        """The status with which the paddle rests: at its goal, or where it never started from."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        started = False
        while True:
            status = await self._status(paddle)
            if status.bits & FAULTY:
                raise DeviceError(self.name, f"paddle {paddle} reports {status.bits & FAULTY!r}")
            elapsed_s = loop.time() - begun_s
            if status.bits & MOVING:
                started = True
            elif started or abs(status.position - goal) <= SPREAD_COUNTS or elapsed_s > START_S * self._pace:
                return status
            if elapsed_s > MOVE_S_MAX:
                raise DeviceError(self.name, f"paddle {paddle} still moves after {MOVE_S_MAX:g} s")

    async def _rest(self, paddle: int) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + MOVE_S_MAX
        while (await self._status(paddle)).bits & MOVING:
            if loop.time() > end_s:
                raise DeviceError(self.name, f"paddle {paddle} still moves after {MOVE_S_MAX:g} s")

    async def _enable(self, mask: int) -> None:
        """Enable exactly these channels; enabling some disables the others, and mask 0 disables all."""
        await self._line().send(AptMessage(Id.SET_CHANENABLESTATE, mask, ENABLED).encoded())
        loop = asyncio.get_running_loop()
        end_s = loop.time() + ENABLE_S_MAX
        for paddle in PADDLES:
            wanted = bool(mask & _mask(paddle))
            while bool((await self._status(paddle)).bits & StatusBit.ENABLED) != wanted:
                if loop.time() > end_s:
                    state = "enabled" if wanted else "disabled"
                    raise DeviceError(self.name, f"channel {paddle} does not become {state}")

    # -- messages -------------------------------------------------------------------------------------------

    async def _status(self, paddle: int) -> PaddleStatus:
        self._line()
        loop = asyncio.get_running_loop()
        mask = _mask(paddle)
        async with self._polling:  # two who look at one paddle at once are one too many for the controller
            since_s = loop.time() - self._polled_at_s.get(paddle, 0.0)
            if since_s < POLL_S * self._pace:
                await asyncio.sleep(POLL_S * self._pace - since_s)
            # The acknowledgement tells the controller that somebody still listens; it wants one each second.
            alive = AptMessage(Id.ACK_USTATUSUPDATE).encoded()
            request = AptMessage(Id.REQ_USTATUSUPDATE, mask)
            reply = await self._ask(request, Id.GET_USTATUSUPDATE, mask, before=alive)
            self._polled_at_s[paddle] = loop.time()
        return self._status_of(reply)

    def _status_of(self, message: AptMessage) -> PaddleStatus:
        try:
            status = PaddleStatus.decoded(message.data or b"")
        except ValueError as error:
            raise self._broken(f"the status makes no sense: {error}") from None
        if not -BEYOND_COUNTS <= status.position <= COUNTS + BEYOND_COUNTS:
            raise self._broken(f"a paddle at {status.position} counts, outside of 0 to {COUNTS}")
        self._faulty_bits = status.bits & FAULTY
        return status

    async def _parameters(self) -> PaddleParameters:
        reply = await self._ask(AptMessage(Id.POL_REQ_PARAMS), Id.POL_GET_PARAMS)
        try:
            found = PaddleParameters.decoded(reply.data or b"")
        except ValueError as error:
            raise self._broken(f"the parameters make no sense: {error}") from None
        low, high = VELOCITY_PERCENT
        if not low <= found.velocity_percent <= high or found.home_position > COUNTS:
            raise self._broken(f"the parameters make no sense: {found}")
        return found

    async def _set_parameters(self, wanted: PaddleParameters) -> None:
        await self._line().send(AptMessage(Id.POL_SET_PARAMS, data=wanted.encoded()).encoded())
        self._same("velocity, home and jog steps", wanted, await self._parameters())

    async def _ask(
        self, request: AptMessage, answer: Id, mask: int | None = None, *, before: bytes = b""
    ) -> AptMessage:
        """The answer of that id, and of that channel; other messages that come first are unasked ones."""
        passed: list[AptMessage] = []

        def take(octets: bytes) -> tuple[bytes, bytes] | None:
            passed.clear()
            rest = octets
            try:
                while (one := decoded(rest)) is not None:
                    message, length = one
                    if message.message_id is answer and mask in (None, _mask_of(message)):
                        return rest[:length], rest[length:]
                    passed.append(message)
                    rest = rest[length:]
            except UnknownMessage as error:
                raise self._fault(error) from None
            return None

        reply = await self._line().exchange(before + request.encoded(), take)
        self.unasked_messages += len(passed)
        found = decoded(reply)
        assert found is not None
        return found[0]

    def _take_stray(self) -> Callable[[bytes], None]:
        def stray(octets: bytes) -> None:
            try:
                self.unasked_messages += len(messages(octets)[0])
            except UnknownMessage as error:
                if self.session is not None:
                    self.session.give_up(self._fault(error))

        return stray

    def _fault(self, error: UnknownMessage) -> ProtocolFault:
        return ProtocolFault(self.name, f"the place in the stream is lost: {error}")


def _mask(paddle: int) -> int:
    if paddle not in PADDLES:
        raise LocalMisuse(f"paddle {paddle} is none of {PADDLES}")
    return channel_mask(paddle)


def _mask_of(message: AptMessage) -> int:
    """The channel that a message is about."""
    return message.parameter_1 if message.data is None else int.from_bytes(message.data[:2], "little")

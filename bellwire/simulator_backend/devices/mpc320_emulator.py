"""Emulated Thorlabs MPC320: three paddles behind APT messages, at 400 deg/s times velocity (instruments.md
5.3).

Owns the dialect and the motion. Where the paddles stand outlives a power cycle, what was set does not. The
angles are the knobs `angle_deg.1` to `angle_deg.3` of the World. Quirks that are on: a channel that is not
enabled does not move and nobody says so; enabling some disables the others; of two polls of a channel within
10 ms the second stays unanswered; moves that end say so unasked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bellwire.drivers.apt_words import (
    DEVICE,
    DISABLED,
    ENABLED,
    HOST,
    AptMessage,
    Hardware,
    Id,
    MoveTo,
    PaddleParameters,
    PaddleStatus,
    StatusBit,
    UnknownMessage,
    decoded,
)
from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Wiring

SERIAL_NUMBER = 38_000_001
FIRMWARE = (1, 0, 4)
MASKS = (1, 2, 4)
COUNTS = 1370
DEG_PER_COUNT = 170.0 / COUNTS
FULL_SPEED_COUNTS_S = 400.0 / DEG_PER_COUNT
VELOCITY_PERCENT = range(10, 101)
DELIVERED = PaddleParameters(50, 685, (50, 50, 50))
MOTOR_MA = 80
ANSWER_S = 0.002
POLL_GAP_S = 0.010
UPDATE_S = 0.1
UPDATES_UNACKNOWLEDGED_MAX = 50
FORWARD = 1

CHANGING = frozenset(
    {
        Id.HW_START_UPDATEMSGS,
        Id.HW_STOP_UPDATEMSGS,
        Id.SET_CHANENABLESTATE,
        Id.IDENTIFY,
        Id.MOVE_HOME,
        Id.MOVE_ABSOLUTE,
        Id.MOVE_STOP,
        Id.MOVE_JOG,
        Id.SET_EEPROMPARAMS,
        Id.POL_SET_PARAMS,
    }
)


@dataclass(slots=True)
class Paddles:
    """Where the paddles stand, in counts: mechanics, which no power switch changes."""

    positions: list[float] = field(default_factory=lambda: [685.0, 685.0, 685.0])


@dataclass(slots=True)
class _Motion:
    goal: int
    homing: bool


class Mpc320Model(DeviceModel):
    """One powered MPC320. `pace` multiplies the time of moves; `long_completed`: MOVE_COMPLETED with status
    data, as other controllers send it.
    """

    tick_s = 0.05

    def __init__(
        self,
        wiring: Wiring,
        paddles: Paddles,
        *,
        serial_number: int = SERIAL_NUMBER,
        pace: float = 1.0,
        long_completed: bool = False,
    ) -> None:
        self._wiring = wiring
        self._paddles = paddles
        self._serial_number = serial_number
        self._pace = pace
        self._long_completed = long_completed
        self.parameters = DELIVERED
        self.enabled_mask = 0
        self._motions: dict[int, _Motion] = {}
        self._homed = 0
        self._said: list[AptMessage] = []
        self._at_ns: int | None = None
        self._polled_at_ns: dict[int, int] = {}
        self._updating = False
        self._updates_unacknowledged = 0
        self._updated_at_ns = 0

    # -- bytes ----------------------------------------------------------------------------------------------

    def split(self, buffer: bytearray) -> list[bytes]:
        found: list[bytes] = []
        try:
            while (one := decoded(bytes(buffer))) is not None:
                found.append(bytes(buffer[: one[1]]))
                del buffer[: one[1]]
        except UnknownMessage:
            buffer.clear()
        return found

    def changes(self, request: bytes) -> bool:
        found = decoded(request)
        return found is not None and found[0].message_id in CHANGING

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        self._advance(now_ns)
        found = decoded(request)
        assert found is not None
        answers = [Answer(message.encoded(), solicited=False) for message in self._take_said()]
        reply = self._carry_out(found[0], now_ns)
        if reply is not None:
            answers.append(Answer(reply.encoded(), ANSWER_S))
        return answers

    def tick(self, now_ns: int) -> list[Answer]:
        self._advance(now_ns)
        said = self._take_said()
        if self._updating and now_ns - self._updated_at_ns >= UPDATE_S * 1e9:
            self._updated_at_ns = now_ns
            if self._updates_unacknowledged < UPDATES_UNACKNOWLEDGED_MAX:
                self._updates_unacknowledged += 1
                said += [self._status(mask) for mask in MASKS]
        return [Answer(message.encoded(), solicited=False) for message in said]

    def unasked(self, now_ns: int) -> bytes:
        return self._status(1).encoded()

    # -- messages -------------------------------------------------------------------------------------------

    def _carry_out(self, message: AptMessage, now_ns: int) -> AptMessage | None:
        match message.message_id:
            case Id.HW_REQ_INFO:
                record = Hardware(self._serial_number, "MPC320", FIRMWARE, len(MASKS))
                return _long(Id.HW_GET_INFO, record.encoded())
            case Id.REQ_USTATUSUPDATE:
                return self._polled(message.parameter_1, now_ns)
            case Id.REQ_CHANENABLESTATE:
                state = ENABLED if message.parameter_1 & self.enabled_mask else DISABLED
                return _short(Id.GET_CHANENABLESTATE, message.parameter_1, state)
            case Id.POL_REQ_PARAMS:
                return _long(Id.POL_GET_PARAMS, self.parameters.encoded())
            case Id.ACK_USTATUSUPDATE:
                self._updates_unacknowledged = 0
            case Id.HW_START_UPDATEMSGS:
                self._updating, self._updates_unacknowledged = True, 0
            case Id.HW_STOP_UPDATEMSGS:
                self._updating = False
            case Id.SET_CHANENABLESTATE:
                self._enable(message.parameter_1, message.parameter_2)
            case Id.POL_SET_PARAMS:
                self._set_parameters(message.data or b"")
            case _:
                self._set_in_motion(message)
        return None

    def _polled(self, mask: int, now_ns: int) -> AptMessage | None:
        before_ns = self._polled_at_ns.get(mask)
        self._polled_at_ns[mask] = now_ns
        if mask not in MASKS or (
            before_ns is not None and now_ns - before_ns < POLL_GAP_S * self._pace * 1e9
        ):
            return None
        return self._status(mask)

    def _enable(self, mask: int, state: int) -> None:
        if state == ENABLED:
            self.enabled_mask = mask & 0b111
        elif state == DISABLED:
            self.enabled_mask &= ~mask
        for moving in [moving for moving in self._motions if not moving & self.enabled_mask]:
            del self._motions[moving]  # a motor without current stops where it is

    def _set_parameters(self, data: bytes) -> None:
        try:
            wanted = PaddleParameters.decoded(data)
        except ValueError:
            return
        if wanted.velocity_percent in VELOCITY_PERCENT and wanted.home_position <= COUNTS:
            self.parameters = wanted

    def _set_in_motion(self, message: AptMessage) -> None:
        mask, goal = message.parameter_1, None
        match message.message_id:
            case Id.MOVE_HOME:
                goal = self.parameters.home_position
            case Id.MOVE_ABSOLUTE:
                try:
                    order = MoveTo.decoded(message.data or b"")
                except ValueError:
                    return
                mask, goal = order.mask, order.position
            case Id.MOVE_JOG if mask in MASKS:
                number = MASKS.index(mask)
                step = self.parameters.jog_steps[number]
                sign = 1 if message.parameter_2 == FORWARD else -1
                goal = round(self._paddles.positions[number]) + sign * step
            case Id.MOVE_STOP:
                if self._motions.pop(mask, None) is not None:
                    self._said.append(_long(Id.MOVE_STOPPED, self._status_record(mask).encoded()))
            case _:
                return
        if goal is not None and mask in MASKS and mask & self.enabled_mask and 0 <= goal <= COUNTS:
            self._motions[mask] = _Motion(goal, message.message_id is Id.MOVE_HOME)

    def _status(self, mask: int) -> AptMessage:
        return _long(Id.GET_USTATUSUPDATE, self._status_record(mask).encoded())

    def _status_record(self, mask: int) -> PaddleStatus:
        position = round(self._paddles.positions[MASKS.index(mask)])
        bits = StatusBit.CONNECTED | StatusBit.POWER_OK
        if mask & self._homed:
            bits |= StatusBit.HOMED
        if mask & self.enabled_mask:
            bits |= StatusBit.ENABLED
        velocity = 0
        motion = self._motions.get(mask)
        if motion is not None:
            forward = motion.goal >= position
            bits |= StatusBit.MOVING_FORWARD if forward else StatusBit.MOVING_REVERSE
            bits |= StatusBit.HOMING if motion.homing else StatusBit.ACTIVE
            velocity = self.parameters.velocity_percent * (1 if forward else -1)
        return PaddleStatus(mask, position, velocity, MOTOR_MA if velocity else 0, bits)

    def _take_said(self) -> list[AptMessage]:
        said, self._said = self._said, []
        return said

    # -- motion ---------------------------------------------------------------------------------------------

    def _advance(self, now_ns: int) -> None:
        first = self._at_ns is None
        elapsed_s = 0.0 if self._at_ns is None else (now_ns - self._at_ns) / 1e9
        self._at_ns = now_ns
        for number, mask in enumerate(MASKS):
            motion = self._motions.get(mask)
            if motion is not None:
                self._approach(number, mask, motion, elapsed_s)
            if motion is not None or first:
                angle_deg = self._paddles.positions[number] * DEG_PER_COUNT
                self._wiring.turn(f"angle_deg.{number + 1}", angle_deg, now_ns)

    def _approach(self, number: int, mask: int, motion: _Motion, elapsed_s: float) -> None:
        way = motion.goal - self._paddles.positions[number]
        speed = FULL_SPEED_COUNTS_S * self.parameters.velocity_percent / 100
        reach = speed * elapsed_s / self._pace if self._pace > 0 else abs(way)
        if reach < abs(way):
            self._paddles.positions[number] += reach if way > 0 else -reach
            return
        self._paddles.positions[number] = float(motion.goal)
        del self._motions[mask]
        if motion.homing:
            self._homed |= mask
            self._said.append(_short(Id.MOVE_HOMED, mask))
        elif self._long_completed:
            self._said.append(_long(Id.MOVE_COMPLETED, self._status_record(mask).encoded()))
        else:
            self._said.append(_short(Id.MOVE_COMPLETED, mask))


def _short(message_id: Id, first: int, second: int = 0) -> AptMessage:
    return AptMessage(message_id, first, second, None, HOST, DEVICE)


def _long(message_id: Id, data: bytes) -> AptMessage:
    return AptMessage(message_id, 0, 0, data, HOST, DEVICE)


def make(order: EmulatorOrder) -> InstrumentEmulator:
    """An MPC320 on a serial line."""
    return InstrumentEmulator(order.name, maker(order), [order.terminal()], pace=order.pace, seed=order.seed)


def maker(order: EmulatorOrder, *, long_completed: bool = False) -> Callable[[], Mpc320Model]:
    """Makes the model at each power-on; the paddles stay where they are."""
    paddles = Paddles()
    serial_number = SERIAL_NUMBER if order.serial_number is None else int(order.serial_number)
    return lambda: Mpc320Model(
        order.wiring, paddles, serial_number=serial_number, pace=order.pace, long_completed=long_completed
    )

"""Words of the memory controller's mailbox: operation codes, states, reasons, and how arguments are packed.

Owns the numbers that driver and emulator share. Refuses to run anything.
"""

from __future__ import annotations

import math
from enum import IntEnum

from bellwire.core.errors import LocalMisuse

ANGLE_TURN = 1 << 32
"""A full turn in units of the angle argument."""
BELL_FAILED = 0xFF
"""Result of a Bell measurement that was carried out and did not succeed."""
ARGUMENTS = 12


class Operation(IntEnum):
    """Operation code.

    Arguments in the mailbox, in order, are given in brackets; 64-bit ones take two words.
    """

    ARM = 1  # slot, port, lane, run_short, epoch_s, first_attempt(2), last_attempt(2), fence(2), point
    DISARM = 2  # slot
    INITIALISE = 3  # slot
    HADAMARD = 4  # slot
    ROTATION = 5  # slot, axis, angle
    PAULI = 6  # slot, index
    CNOT = 7  # control, target
    CZ = 8  # slot, slot
    BELL = 9  # slot, slot
    MEASURE = 10  # slot, basis
    RELEASE = 11  # slot, tag


ARGUMENTS_OF: dict[Operation, int] = {
    Operation.ARM: 12,
    Operation.DISARM: 1,
    Operation.INITIALISE: 1,
    Operation.HADAMARD: 1,
    Operation.ROTATION: 3,
    Operation.PAULI: 2,
    Operation.CNOT: 2,
    Operation.CZ: 2,
    Operation.BELL: 2,
    Operation.MEASURE: 2,
    Operation.RELEASE: 2,
}
"""Words of arguments that each operation takes."""


class OperationState(IntEnum):
    """Where an operation stands; DONE and FAILED are final and never change."""

    NEVER_SEEN = 0
    PENDING = 1
    DONE = 2
    FAILED = 3
    FORGOTTEN = 4


class Reason(IntEnum):
    """Why an operation failed. Nothing was done to any qubit in these cases."""

    BAD_ARGUMENT = 1
    EMPTY_SLOT = 2
    FENCED = 3
    PORT_NOT_CONFIGURED = 4
    SLOT_IN_USE = 5
    NO_LEASE = 6
    EPOCH_IN_FUTURE_TOO_FAR = 7
    REFUSED_BY_HARDWARE = 8


class SlotState(IntEnum):
    """What a slot is doing."""

    EMPTY = 0
    ARMED = 1
    HELD = 2
    INITIALISED = 3


AXES = ("x", "y", "z")
BASES = ("X", "Y", "Z")
LEASE_EXPIRED = 1
"""Reason in a DISARMED record: the host was silent for LEASE_MS."""


def split_u64(value: int) -> tuple[int, int]:
    """Low and high word. Raises LocalMisuse outside 0 .. 2**64 - 1."""
    if not 0 <= value < 1 << 64:
        raise LocalMisuse(f"{value} does not fit into an unsigned 64-bit argument")
    return value & 0xFFFF_FFFF, value >> 32


def angle_word(angle_rad: float) -> int:
    """Angle in units of a turn / 2**32, taken modulo a turn. Raises LocalMisuse when not finite."""
    if not math.isfinite(angle_rad):
        raise LocalMisuse(f"angle {angle_rad} rad is not finite")
    return round(angle_rad / math.tau * ANGLE_TURN) % ANGLE_TURN


def angle_of(word: int) -> float:
    """Angle in rad, 0 .. 2 pi, of an angle word."""
    return word / ANGLE_TURN * math.tau

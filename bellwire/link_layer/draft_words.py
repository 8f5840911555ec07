"""CREATE and its answers in 32-bit words, bit by bit as draft-dahlberg-ll-quantum-03 has them.

Owns the layout of algorithms.md 10.1: CREATE in six words with the basis choices of both ends, ACK in one,
OK-K and OK-M in four, ERR in three, most significant bit first. Refuses, with LocalMisuse, to write what does
not fit into a field, and with PeerViolation to read what no honest user writes; nothing is cut or wrapped.
What the draft has no field for (rates, weights, holding times, the codes NOTIME and NORES) is refused too.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final, Literal, NamedTuple

from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.core.ids import NodeId
from bellwire.core.link_words import (
    Basis,
    BasisChoice,
    LinkCreate,
    LinkErrorCode,
    LinkOkKeep,
    LinkOkMeasure,
)

FIDELITY_WHOLE: Final = (1 << 16) - 1
"""A fidelity is n of so many."""

TIME_UNITS_NS: Final = (1_000, 1_000_000, 1_000_000_000)
"""Code of a time unit -> ns: us, ms, s."""

TIME_MAX: Final = (1 << 14) - 1
"""Units in the longest time; 0 means that there is no limit."""

RANDOM: Final[tuple[Literal["none", "XZ", "XYZ", "CHSH"], ...]] = ("none", "XZ", "XYZ", "CHSH")
"""Code of a random basis choice -> its name."""

BASIS_CODES: Final[dict[Basis, int]] = {"Z": 0, "X": 1, "Y": 2, "Z+45": 3, "Z-45": 4}

ERROR_CODES: Final[dict[LinkErrorCode, int]] = {
    "UNSUPP": 1,
    "CREATE": 2,
    "REJECTED": 3,
    "OTHER": 4,
    "EXPIRE": 5,
    "TIMEOUT": 6,
}

ACK: Final = 1
OK_KEEP: Final = 2
OK_MEASURE: Final = 3
ERR: Final = 4

Bits = tuple[str, int, int]
"""Name, width and value of a field."""


class AckWords(NamedTuple):
    """ACK."""

    create: int


class OkKeepWords(NamedTuple):
    """OK-K."""

    create: int
    qubit: int  # logical qubit, 4 bits
    asked_there: bool  # D: the other end sent the CREATE
    sequence: int
    purpose: int
    remote: int  # number of the other node
    goodness: int  # of FIDELITY_WHOLE
    goodness_time: int  # 16 bits, in the units of whoever writes it


class OkMeasureWords(NamedTuple):
    """OK-M."""

    create: int
    bit: int
    asked_there: bool
    basis: Basis
    sequence: int
    purpose: int
    remote: int
    goodness: int


class ErrWords(NamedTuple):
    """ERR. For EXPIRE: pairs low..high-1, or without `by_sequence` all of the CREATE."""

    create: int
    code: LinkErrorCode
    by_sequence: bool
    low: int
    high: int
    origin: int


Answer = AckWords | OkKeepWords | OkMeasureWords | ErrWords


# ---- bits


def _pack(words: Sequence[Sequence[Bits]]) -> bytes:
    packed = b""
    for fields in words:
        assert sum(width for _, width, _ in fields) == 32
        word = 0
        for name, width, value in fields:
            if not 0 <= value < 1 << width:
                raise LocalMisuse(f"{name} {value} does not fit into {width} bits (0 to {(1 << width) - 1})")
            word = word << width | value
        packed += word.to_bytes(4, "big")
    return packed


def _unpack(packed: bytes, words: Sequence[Sequence[int]], what: str) -> list[int]:
    if len(packed) != 4 * len(words):
        raise PeerViolation("user", f"{what} of {len(packed)} bytes: it has {4 * len(words)}")
    values: list[int] = []
    for index, widths in enumerate(words):
        word = int.from_bytes(packed[4 * index : 4 * index + 4], "big")
        left = 32
        for width in widths:
            left -= width
            values.append(word >> left & (1 << width) - 1)
    return values


# ---- CREATE

_CREATE: Final = (
    (32,),
    (16, 2, 14),
    (16, 16),
    (3, 1, 1, 1, 2, 2, 6, 8, 8),
    (8, 8, 8, 8),
    (8, 8, 8, 8),
)


def create_to_words(asked: LinkCreate, numbers: Mapping[NodeId, int]) -> bytes:
    """24 bytes. numbers: node -> its 32-bit number. A fidelity between two steps is written as the higher
    one, so that no less is asked than was meant.

    Raises:
        LocalMisuse: the draft has no field for it, or the field is too narrow.
    """
    if asked.count is None or asked.rate_hz is not None:
        raise LocalMisuse(f"rate {asked.rate_hz} Hz: the draft knows only numbers of pairs")
    if asked.weight != 1 or asked.hold_ns is not None:
        raise LocalMisuse(f"weight {asked.weight}, hold {asked.hold_ns} ns: the draft has no field for them")
    if asked.partner not in numbers:
        raise LocalMisuse(f"{asked.partner} has no number among {', '.join(sorted(numbers))}")
    unit, time = _time_to_field(asked.within_ns)
    local, remote = asked.local, asked.remote
    return _pack(
        (
            (("remote node", 32, numbers[asked.partner]),),
            (
                ("minimum fidelity", 16, _fidelity_to_field(asked.fidelity_min)),
                ("time unit", 2, unit),
                ("maximum time", 14, time),
            ),
            (("purpose", 16, asked.purpose), ("number", 16, asked.count)),
            (
                ("priority", 3, asked.priority),
                ("type", 1, int(asked.kind == "measure")),
                ("atomic", 1, int(asked.atomic)),
                ("consecutive", 1, int(asked.consecutive)),
                ("random basis here", 2, RANDOM.index(local.random)),
                ("random basis there", 2, RANDOM.index(remote.random)),
                ("reserved", 6, 0),
                ("first weight here", 8, local.first),
                ("second weight here", 8, local.second),
            ),
            (
                ("first weight there", 8, remote.first),
                ("second weight there", 8, remote.second),
                ("first X rotation here", 8, local.rotation[0]),
                ("Y rotation here", 8, local.rotation[1]),
            ),
            (
                ("second X rotation here", 8, local.rotation[2]),
                ("first X rotation there", 8, remote.rotation[0]),
                ("Y rotation there", 8, remote.rotation[1]),
                ("second X rotation there", 8, remote.rotation[2]),
            ),
        )
    )


def create_from_words(packed: bytes, nodes: Mapping[int, NodeId], create: int) -> LinkCreate:
    """The CREATE of 24 bytes. nodes: number -> node. create: the id that it shall have, which the draft gives
    only with ACK.

    Raises:
        PeerViolation: wrong length, unknown node, or a code that the draft does not use.
    """
    values = _unpack(packed, _CREATE, "CREATE")
    number, fidelity, unit, time, purpose, count = values[:6]
    priority, kind, atomic, consecutive, random_here, random_there, reserved, first, second = values[6:15]
    first_there, second_there, x1, y, x2, x1_there, y_there, x2_there = values[15:]
    if number not in nodes:
        raise PeerViolation("user", f"CREATE for node {number}, which nobody knows")
    if unit >= len(TIME_UNITS_NS) or reserved:
        raise PeerViolation("user", f"CREATE with time unit {unit} and reserved bits {reserved}")
    return LinkCreate(
        create=create,
        partner=nodes[number],
        purpose=purpose,
        kind="measure" if kind else "keep",
        count=count,
        fidelity_min=fidelity / FIDELITY_WHOLE if fidelity else None,
        within_ns=time * TIME_UNITS_NS[unit] if time else None,
        priority=priority,
        atomic=bool(atomic),
        consecutive=bool(consecutive),
        local=BasisChoice(random=RANDOM[random_here], first=first, second=second, rotation=(x1, y, x2)),
        remote=BasisChoice(
            random=RANDOM[random_there],
            first=first_there,
            second=second_there,
            rotation=(x1_there, y_there, x2_there),
        ),
    )


def _fidelity_to_field(fidelity: float | None) -> int:
    if fidelity is None:
        return 0
    steps = fidelity * FIDELITY_WHOLE
    nearest = round(steps)
    return nearest if abs(steps - nearest) < 1e-9 else ceil(steps)


def _time_to_field(within_ns: int | None) -> tuple[int, int]:
    """The finest unit in which the time is a whole number that fits."""
    if within_ns is None:
        return 0, 0
    for code, unit_ns in enumerate(TIME_UNITS_NS):
        time, rest = divmod(within_ns, unit_ns)
        if not rest and 1 <= time <= TIME_MAX:
            return code, time
    raise LocalMisuse(f"{within_ns} ns are not 1 to {TIME_MAX} whole us, ms or s")


# ---- answers

_ACK: Final = ((4, 16, 12),)
_OK_KEEP: Final = ((4, 16, 4, 1, 7), (16, 16), (32,), (16, 16))
_OK_MEASURE: Final = ((4, 16, 1, 1, 3, 7), (16, 16), (32,), (16, 16))
_ERR: Final = ((4, 16, 4, 1, 7), (16, 16), (32,))


def keep_words(told: LinkOkKeep, remote: int) -> OkKeepWords:
    """OK-K of what a user was told; the time is that of the pair in ms, modulo 16 bits."""
    return OkKeepWords(
        create=told.create,
        qubit=told.slot,
        asked_there=not told.asked_here,
        sequence=told.sequence,
        purpose=told.purpose,
        remote=remote,
        goodness=int(told.goodness * FIDELITY_WHOLE),
        goodness_time=told.born_ns // 1_000_000 % (1 << 16),
    )


def measure_words(told: LinkOkMeasure, remote: int) -> OkMeasureWords:
    """OK-M of what a user was told."""
    return OkMeasureWords(
        create=told.create,
        bit=told.bit,
        asked_there=not told.asked_here,
        basis=told.basis,
        sequence=told.sequence,
        purpose=told.purpose,
        remote=remote,
        goodness=int(told.goodness * FIDELITY_WHOLE),
    )


def answer_to_words(answer: Answer) -> bytes:
    """4 to 16 bytes.

    Raises:
        LocalMisuse: a value does not fit, or the draft has no such code.
    """
    head: tuple[Bits, ...]
    match answer:
        case AckWords():
            return _pack(((("type", 4, ACK), ("create id", 16, answer.create), ("unused", 12, 0)),))
        case OkKeepWords():
            head = (
                ("type", 4, OK_KEEP),
                ("create id", 16, answer.create),
                ("logical qubit", 4, answer.qubit),
                ("direction", 1, int(answer.asked_there)),
                ("unused", 7, 0),
            )
            last: tuple[Bits, ...] = (
                ("goodness", 16, answer.goodness),
                ("time of goodness", 16, answer.goodness_time),
            )
        case OkMeasureWords():
            head = (
                ("type", 4, OK_MEASURE),
                ("create id", 16, answer.create),
                ("outcome", 1, answer.bit),
                ("direction", 1, int(answer.asked_there)),
                ("basis", 3, BASIS_CODES[answer.basis]),
                ("unused", 7, 0),
            )
            last = (("goodness", 16, answer.goodness), ("unused", 16, 0))
        case ErrWords():
            if answer.code not in ERROR_CODES:
                raise LocalMisuse(f"the draft has no code for {answer.code}: tell it as OTHER")
            return _pack(
                (
                    (
                        ("type", 4, ERR),
                        ("create id", 16, answer.create),
                        ("error code", 4, ERROR_CODES[answer.code]),
                        ("by sequence", 1, int(answer.by_sequence)),
                        ("unused", 7, 0),
                    ),
                    (("low sequence", 16, answer.low), ("high sequence", 16, answer.high)),
                    (("origin node", 32, answer.origin),),
                )
            )
    numbers: tuple[Bits, ...] = (("sequence", 16, answer.sequence), ("purpose", 16, answer.purpose))
    return _pack((head, numbers, (("remote node", 32, answer.remote),), last))


def answer_from_words(packed: bytes) -> Answer:
    """The answer of 4 to 16 bytes.

    Raises:
        PeerViolation: an unknown type or code, a wrong length, or unused bits that are set.
    """
    kind = packed[0] >> 4 if packed else 0
    if kind == ACK:
        _, create, unused = _unpack(packed, _ACK, "ACK")
        _refuse_unused(unused)
        return AckWords(create)
    if kind == OK_KEEP:
        _, create, qubit, there, unused, sequence, purpose, remote, goodness, time = _unpack(
            packed, _OK_KEEP, "OK-K"
        )
        _refuse_unused(unused)
        return OkKeepWords(create, qubit, bool(there), sequence, purpose, remote, goodness, time)
    if kind == OK_MEASURE:
        _, create, bit, there, basis, unused, sequence, purpose, remote, goodness, rest = _unpack(
            packed, _OK_MEASURE, "OK-M"
        )
        _refuse_unused(unused | rest)
        bases: dict[int, Basis] = {code: name for name, code in BASIS_CODES.items()}
        if basis not in bases:
            raise PeerViolation("user", f"OK-M with basis code {basis}, which the draft does not use")
        return OkMeasureWords(create, bit, bool(there), bases[basis], sequence, purpose, remote, goodness)
    if kind == ERR:
        _, create, code, by_sequence, unused, low, high, origin = _unpack(packed, _ERR, "ERR")
        _refuse_unused(unused)
        codes: dict[int, LinkErrorCode] = {number: name for name, number in ERROR_CODES.items()}
        if code not in codes:
            raise PeerViolation("user", f"ERR with code {code}, which the draft does not use")
        return ErrWords(create, codes[code], bool(by_sequence), low, high, origin)
    raise PeerViolation("user", f"an answer of type {kind}: the draft has 1 to 4")


def _refuse_unused(bits: int) -> None:
    if bits:
        raise PeerViolation("user", f"unused bits {bits:#x} are set")

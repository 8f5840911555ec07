"""What the console and the agents say to each other about instruments: questions, answers, chunks of tags.

Owns these words. A question has a number that grows within one life of the console, and a time within which
it must be answered; exactly one terminal answer carries its number: a value, `InstrumentRefused` or
`InstrumentFaulted`. Refuses machines: none of these words is ever an event of one, so they stand beside
`Message` and not in it. Times are durations; instruments go by their full names, as "middle-delay".
"""

from typing import Final, Literal

from bellwire.core.record import TaggedWord

CONSOLE: Final = "console"
"""The console's name on the bus, where a lab has one."""

Setting = bool | int | float | str
"""What a parameter of an instrument may hold."""

OnLoss = Literal["safe", "restore"]
"""What becomes of instruments that were written under a lease that ends without its holder: their safe
state, or the values that stood before the first write."""

Refusal = Literal["lease", "misuse", "unknown", "busy", "repeated"]
"""Not (or no longer) the holder; what was asked for cannot be asked of this instrument; no instrument of
that name; too many questions wait; the number is one of an earlier question."""


class InstrumentWord(TaggedWord, frozen=True, kw_only=True):
    """Base of all of them. `number`: of the question that this is, or belongs to."""

    number: int


# ---- questions of the console


class InstrumentsAcquire(InstrumentWord, frozen=True, kw_only=True):
    """A lease on each of these instruments of one agent, or on none of them."""

    instruments: tuple[str, ...]
    holder: str
    lease_ns: int
    on_loss: OnLoss
    within_ns: int


class LeasesRenew(InstrumentWord, frozen=True, kw_only=True):
    """These leases shall last `lease_ns` from now on."""

    tokens: dict[str, int]  # by instrument
    lease_ns: int
    within_ns: int


class LeasesRelease(InstrumentWord, frozen=True, kw_only=True):
    """The leases end now. `abandoned`: as if the holder had vanished; else the instruments stay as they
    are.
    """

    tokens: dict[str, int]  # by instrument
    abandoned: bool
    within_ns: int


class ParameterRead(InstrumentWord, frozen=True, kw_only=True):
    """A parameter as the instrument says it now."""

    instrument: str
    parameter: str
    token: int | None  # None: whoever holds it
    within_ns: int


class ParameterWrite(InstrumentWord, frozen=True, kw_only=True):
    """Set a parameter, and read it back."""

    instrument: str
    parameter: str
    value: Setting
    token: int
    within_ns: int


class CountsWanted(InstrumentWord, frozen=True, kw_only=True):
    """Singles of a time tagger over one window that begins now."""

    instrument: str
    window_s: float
    token: int
    within_ns: int


class TagsWanted(InstrumentWord, frozen=True, kw_only=True):
    """Tags of a time tagger until `duration_ps` of its time are covered; `TagsEnded` is the answer.

    At most `credit` chunks are on their way that the console has not asked for anew by `TagsCredit`.
    """

    instrument: str
    duration_ps: int
    channels: tuple[int, ...]  # empty: all
    credit: int
    token: int
    within_ns: int


class TagsCredit(InstrumentWord, frozen=True, kw_only=True):
    """So many further chunks of this stream may come. No question: nothing answers it."""

    chunks: int


class TagsStop(InstrumentWord, frozen=True, kw_only=True):
    """Enough of this stream. No question: the stream answers its own by `TagsEnded`."""


class InstrumentSafe(InstrumentWord, frozen=True, kw_only=True):
    """Bring an instrument to its safe state, confirmed by read-back."""

    instrument: str
    token: int | None  # None: safety needs no lease
    within_ns: int


class LinkRestWanted(InstrumentWord, frozen=True, kw_only=True):
    """A link, whose queue the agent's node keeps, shall make no attempts for so long, as soon as it can."""

    link: str
    length_ns: int
    within_ns: int


class StorageWanted(InstrumentWord, frozen=True, kw_only=True):
    """The memory of the agent's node shall keep a state of one qubit for so long, and then measure it.

    It takes a slot that no link uses, as soon as one is free, and gives it back whatever happens.
    """

    turns: tuple[int, int, int]  # of |0>, X-Y-X in units of 2 pi / 256
    basis: Literal["X", "Y", "Z"]
    storage_ns: int
    within_ns: int


class InstrumentDescribe(InstrumentWord, frozen=True, kw_only=True):
    """Who is this instrument, how does it stand, and what can be read and set?"""

    instrument: str
    within_ns: int


# ---- answers of an agent


class InstrumentsAcquired(InstrumentWord, frozen=True, kw_only=True):
    """All of them are leased."""

    tokens: dict[str, int]  # by instrument


class QuestionDone(InstrumentWord, frozen=True, kw_only=True):
    """Renewed, released, or safe."""


class ParameterTold(InstrumentWord, frozen=True, kw_only=True):
    """What the instrument says. `value` None: it was set and cannot be read back."""

    value: Setting | None
    unit: str
    quality: str


class CountsTold(InstrumentWord, frozen=True, kw_only=True):
    """Counts of one window by channel; `taken_at_ns` as the driver has it, on the agent's computer."""

    window_s: float
    singles: dict[int, int]
    valid: bool
    taken_at_ns: int


class TagsChunk(InstrumentWord, frozen=True, kw_only=True):
    """Tags of [start, stop) in ps of the tagger's epoch: a part of the answer, not its end."""

    index: int  # 1, 2, 3, ... within the stream; one that is missing is a loss
    epoch: int
    start_ps: int
    stop_ps: int
    tags: int
    packed: bytes  # see runtime/tag_chunks.py
    lost: tuple[tuple[int, int], ...]


class TagsEnded(InstrumentWord, frozen=True, kw_only=True):
    """The stream has ended after so many chunks: covered, or stopped."""

    chunks: int


class ParameterCard(TaggedWord, frozen=True, kw_only=True):
    """A parameter as the driver declares it."""

    name: str
    meaning: str
    unit: str
    kind: str
    readable: bool
    settable: bool
    emits: bool
    low: float | None
    high: float | None
    choices: tuple[str, ...]


class InstrumentDescribed(InstrumentWord, frozen=True, kw_only=True):
    """An instrument as it presents itself; texts are empty while it was never connected."""

    instrument: str
    model: str
    serial_number: str
    firmware: str
    condition: str
    reason: str
    held_by: str | None  # None: nobody
    parameters: tuple[ParameterCard, ...]


class LinkRestGranted(InstrumentWord, frozen=True, kw_only=True):
    """Both ends have agreed: nothing is attempted, and nothing of an attempt can come, between these times of
    the common clock."""

    begins_ns: int
    ends_ns: int


class StorageTold(InstrumentWord, frozen=True, kw_only=True):
    """What came of it. `bit` None: the qubit was lost, or no slot was free in time. `stored_ns`: by the
    memory's own time; None: it has not said.
    """

    bit: int | None
    stored_ns: int | None


class InstrumentRefused(InstrumentWord, frozen=True, kw_only=True):
    """Terminal: it was not carried out, or no further."""

    kind: Refusal
    problem: str


class InstrumentFaulted(InstrumentWord, frozen=True, kw_only=True):
    """Terminal: the instrument or its line failed. `kind`: the name of the fault in drivers/faults.py."""

    instrument: str
    kind: str
    detail: str


InstrumentQuestion = (
    InstrumentsAcquire
    | LeasesRenew
    | LeasesRelease
    | ParameterRead
    | ParameterWrite
    | CountsWanted
    | TagsWanted
    | InstrumentSafe
    | InstrumentDescribe
    | LinkRestWanted
    | StorageWanted
)

InstrumentAnswer = (
    InstrumentsAcquired
    | QuestionDone
    | ParameterTold
    | CountsTold
    | TagsEnded
    | InstrumentDescribed
    | LinkRestGranted
    | StorageTold
    | InstrumentRefused
    | InstrumentFaulted
)
"""Terminal answers."""

InstrumentMessage = InstrumentQuestion | TagsCredit | TagsStop | InstrumentAnswer | TagsChunk

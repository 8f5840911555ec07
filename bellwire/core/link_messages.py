"""Messages of the link layer: between the two ends of a link, and between an end and its station.

Owns windows, heralds, the shared queue of CREATEs, EXPIRE, stock, link purification, test rounds and
advertisement. Part of the union in messages.py, which is what travels. Refuses behaviour.
"""

from typing import Literal

from bellwire.core.bell import Cost
from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.link_words import LinkErrorCode, LinkItem
from bellwire.core.record import TaggedWord, Word


class ScheduleEntry(Word, frozen=True, kw_only=True):
    """One place in the cyclic schedule of a window: which request and tree a lane works for."""

    request: RequestId  # "": nobody, nothing is attempted at this place
    tree: int


class Window(Word, frozen=True, kw_only=True):
    """An attempt window: a lease for both ends. Bindings of attempts to requests are a pure function of
    it."""

    run: int
    epoch_ns: int  # start of attempt 0 of the run on the common clock
    fence: int  # a higher fence replaces windows of lower fence from its first attempt on
    first: int
    last: int  # inclusive
    frame_attempts: int  # length of one schedule step in attempts
    schedule: tuple[ScheduleEntry, ...]  # cycle that all other lanes go through
    owners: tuple[ScheduleEntry, ...] = ()  # whom the first lanes serve, lane by lane, for the whole window
    point: int = 0  # operating point of the hardware
    test_share: int = 0  # of 65536 heralds so many are measured as tests; which ones follows from their names
    granted: tuple[int, ...] = ()  # turns of a cycle in which the link may attempt; empty: always
    # The steps of the schedule are counted from attempt 0 of the run, and each holds for all lanes; else they
    # are counted from `first`, and each lane is one place further than the lane before it.
    anchored: bool = False
    rest: bool = False  # nobody attempts: the light of the link is left to calibrations


class WindowOffer(TaggedWord, frozen=True, kw_only=True):
    """Side 0 proposes the next window to side 1."""

    link: LinkId
    window: Window


class WindowAnswer(TaggedWord, frozen=True, kw_only=True):
    """Side 1 takes or refuses the window of this run and fence."""

    link: LinkId
    run: int
    fence: int
    accepted: bool
    reason: str  # "" when accepted
    granted: tuple[int, ...] = ()  # turns that side 1 could grant now, where the link takes turns


class WindowClosed(TaggedWord, frozen=True, kw_only=True):
    """Side 0 ends a run's attempts: nothing wants pairs of this link any more."""

    link: LinkId
    run: int
    fence: int


class LinkReset(TaggedWord, frozen=True, kw_only=True):
    """Side 1 asks for a new run: it restarted, or cannot account for its attempts."""

    link: LinkId
    reason: str


class WindowOpened(TaggedWord, frozen=True, kw_only=True):
    """Each end tells the station which attempts it takes part in (the GEN of Dahlberg et al.)."""

    link: LinkId
    window: Window


class HeraldReport(TaggedWord, frozen=True, kw_only=True):
    """The station's reply for one successful attempt; `number` counts successes of the run from 1."""

    link: LinkId
    run: int
    number: int
    attempt: int
    lane: int
    code: int
    at_ns: int
    sigma_ns: int


class HeraldBound(TaggedWord, frozen=True, kw_only=True):
    """All attempts up to `attempt` are decided, and `number` reports were sent for them."""

    link: LinkId
    run: int
    attempt: int
    number: int
    fences: tuple[
        int, int
    ]  # highest fence that each side has announced, 0: none; an end repeats what was lost


class HeraldUnknown(TaggedWord, frozen=True, kw_only=True):
    """The outcomes of these attempts are lost: neither success nor failure may be assumed."""

    link: LinkId
    run: int
    first: int
    last: int
    number: int  # reports sent so far


class HeraldWanted(TaggedWord, frozen=True, kw_only=True):
    """An end missed reports from this number on and asks for them again."""

    link: LinkId
    run: int
    number: int


class MemoryFree(TaggedWord, frozen=True, kw_only=True):
    """Flow control: with which memories the sender can take part in attempts of a link.

    Told to an end whose memories or emitters serve other links and lanes too, when it may believe otherwise.
    """

    link: LinkId
    run: int
    attempt: int  # the newest success of the run that is taken into account, -1: none
    lanes: tuple[int, ...]  # with a memory at work, or a free one of their own
    free: int  # memories of a bank that any other lane could take


class QueueAdd(TaggedWord, frozen=True, kw_only=True):
    """A CREATE for the shared queue. From side 1 it asks side 0 for a place (queue and number are then those
    of the answer); from side 0 it tells the place. Repeated until answered."""

    link: LinkId
    item: LinkItem


class QueueAnswer(TaggedWord, frozen=True, kw_only=True):
    """The sender holds the item of that number in its queue, or refuses it."""

    link: LinkId
    origin: NodeId
    create: int
    ticket: int
    accepted: bool
    queue: int
    number: int | None  # None: refused
    code: LinkErrorCode | None  # None: accepted
    reason: str  # "" when accepted


class QueueRemove(TaggedWord, frozen=True, kw_only=True):
    """An item has ended at the sender: served, cancelled or out of time. Repeated until answered."""

    link: LinkId
    origin: NodeId
    create: int
    ticket: int
    ended: Literal["done", "cancelled", "timeout"]
    pairs: int  # told with OK at the sender


class QueueRemoved(TaggedWord, frozen=True, kw_only=True):
    """The item is not, or no more, in the sender's queue."""

    link: LinkId
    origin: NodeId
    create: int
    ticket: int


class CountedPair(Word, frozen=True, kw_only=True):
    """One pair of a CREATE and its number."""

    attempt: int
    lane: int
    sequence: int  # within the CREATE, from 1; the number of a pair that turned out void is not used again


class PairsCounted(TaggedWord, frozen=True, kw_only=True):
    """Side 0 counts these pairs of a run for a CREATE: it has its halves of them. Repeated until answered."""

    link: LinkId
    request: RequestId  # name of the item
    run: int
    pairs: tuple[CountedPair, ...]


class PairsCountedHeard(TaggedWord, frozen=True, kw_only=True):
    """Side 1 has its halves of the kept ones too, measured where the CREATE says so, and has no half of the
    void ones. Pairs that it cannot judge yet are not named."""

    link: LinkId
    run: int
    kept: tuple[tuple[int, int], ...]  # (attempt, lane)
    void: tuple[tuple[int, int], ...]


class PairsVoid(TaggedWord, frozen=True, kw_only=True):
    """EXPIRE: these pairs of a run have no half at the sender. Repeated until answered."""

    link: LinkId
    run: int
    pairs: tuple[tuple[int, int], ...]  # (attempt, lane)


class PairsVoidHeard(TaggedWord, frozen=True, kw_only=True):
    """EXPIRE_ACK."""

    link: LinkId
    run: int
    pairs: tuple[tuple[int, int], ...]


class PairsHeld(TaggedWord, frozen=True, kw_only=True):
    """The sender has left this run and still holds these pairs of it. Repeated until answered."""

    link: LinkId
    run: int
    pairs: tuple[tuple[int, int], ...]  # (attempt, lane)
    used: tuple[tuple[int, int], ...] = ()  # no longer held: swapped away, handed over, given up


class PairsKnown(TaggedWord, frozen=True, kw_only=True):
    """The answer, once the sender has left that run too: it had a half of all but the void ones."""

    link: LinkId
    run: int
    pairs: tuple[tuple[int, int], ...]  # as asked
    void: tuple[tuple[int, int], ...]


class StockAssigned(TaggedWord, frozen=True, kw_only=True):
    """Side 0 gives pairs from stock to a request of the link. Repeated until answered."""

    link: LinkId
    request: RequestId
    tree: int
    ends: tuple[End, ...]  # of side 0


class StockTaken(TaggedWord, frozen=True, kw_only=True):
    """Side 1's answer: those ends whose own halves it still had are the request's now."""

    link: LinkId
    request: RequestId
    tree: int
    ends: tuple[End, ...]  # of side 0, as assigned
    taken: tuple[End, ...]


class PurifyWanted(TaggedWord, frozen=True, kw_only=True):
    """Side 0 asks to purify one pair with another, before either is handed up. Repeated until answered."""

    link: LinkId
    number: int  # of the round, counted by side 0 in its incarnation
    kept: End  # of side 0
    measured: End  # of side 0
    scheme: Literal["dejmps", "bbpssw"]
    rounds: int  # rounds that the kept pair has when this one succeeds
    lease_ns: int  # side 1 may let go of both pairs when it hears nothing for this long


class PurifyAnswer(TaggedWord, frozen=True, kw_only=True):
    """Side 1 measured, or cannot."""

    link: LinkId
    number: int  # of the round
    kept: End  # of side 0
    measured: End
    accepted: bool
    bit: int | None  # None: refused, or the instrument gave no result
    at_ns: int | None = None  # when side 1 measured, None: it did not
    missing: tuple[End, ...] = ()  # refused: those of the two (of side 0) of which side 1 keeps no half
    turned_ns: int | None = None  # when side 1 turned its qubits, None: at `at_ns`


class PurifyVerdict(TaggedWord, frozen=True, kw_only=True):
    """Side 0 knows both bits: the kept pair stays, or both are gone. Repeated until answered."""

    link: LinkId
    number: int  # of the round
    kept: End
    passed: bool
    complete: bool = False  # no more rounds: the pair is handed up
    signs: int = 0  # passed: estimated state relative to Phi+ when each end measured, Walsh signs
    cost: Cost = (0, 0, 0)


class PurifyHeard(TaggedWord, frozen=True, kw_only=True):
    """Side 1 has the verdict."""

    link: LinkId
    number: int  # of the round
    kept: End


class CheckedPair(Word, frozen=True, kw_only=True):
    """One end's result of one test round."""

    attempt: int
    lane: int
    bit: int
    at_ns: int  # when it was measured
    armed_from: int  # first attempt of the lane's lease at that end


class PairsChecked(TaggedWord, frozen=True, kw_only=True):
    """Results of test rounds of one end, for the other's estimate. A lost one does not count."""

    link: LinkId
    run: int
    results: tuple[CheckedPair, ...]


class LinkFigures(Word, frozen=True, kw_only=True):
    """How fast and how good a link is at one operating point."""

    point: int
    name: str
    success_probability: float  # of one joint attempt of one lane
    success_error: float  # standard error; 0.0: as modelled, never measured or calibrated
    fidelity: float
    fidelity_low: float  # 95 % interval
    fidelity_high: float
    measured: int  # heralds behind the success probability
    tested: int  # test rounds behind the fidelity
    at_ns: int  # when the newest measurement behind these figures was made

    @property
    def fidelity_error(self) -> float:
        """Standard error of the fidelity, as wide as the 95 % interval of a normal distribution has it."""
        return (self.fidelity_high - self.fidelity_low) / (2.0 * 1.959964)


class AttemptsWanted(TaggedWord, frozen=True, kw_only=True):
    """Side 0 of a link has missed heralds for long, and asks whether both ends attempt."""

    link: LinkId
    run: int


class AttemptsTold(TaggedWord, frozen=True, kw_only=True):
    """Since which attempt side 1 has been attempting on each lane without a break."""

    link: LinkId
    run: int
    leases: tuple[int | None, ...]  # by lane, None: it does not attempt now


class LinkAdvertised(TaggedWord, frozen=True, kw_only=True):
    """Side 0 of a link tells planners what the link can do. A later `number` replaces an earlier one."""

    link: LinkId
    number: int  # counted by the sender in its incarnation
    period_ns: int
    lanes: int
    duty: float  # share of the time in which the link may attempt, 0..1
    point: int  # in force
    figures: tuple[LinkFigures, ...]
    down: str = ""  # why no pair can be had of the link at present; "": as far as is known, pairs can


class RegionTold(TaggedWord, frozen=True, kw_only=True):
    """A planner tells planners of the regions beside its own how links of its region differ from their lab
    file, on average. A later `number` replaces an earlier one."""

    region: str
    number: int  # counted by the sender in its incarnation
    links: int  # that were measured
    success_ratio: float  # success probability over that of the lab file, geometric mean
    fidelity_change: float  # fidelity of fresh pairs less that of the lab file, mean
    at_ns: int  # of the newest measurement behind it

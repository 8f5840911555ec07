"""Events: past-tense facts that a host tells a machine. The only way into a machine.

Owns the event types. `at_ns` is when it happened; `now_ns`, passed beside the event, is when the machine is
told.
"""

from typing import Literal

from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.link_words import LinkCreate
from bellwire.core.messages import Message
from bellwire.core.plans import EntanglementRequest
from bellwire.core.record import TaggedWord
from bellwire.core.topology_messages import LinkVerification

Ended = Literal["done", "failed", "unknown"]
"""The three ways in which a device order ends, exactly one of them (architecture.md section 3)."""


class Started(TaggedWord, frozen=True, kw_only=True):
    """The first event of every machine: the durable incarnation of this process and what its store held."""

    incarnation: int
    records: tuple["Record", ...] = ()  # durable records in the order in which they were written
    seed: int = 0  # 64 bits of chance from the host; bases are drawn from it by the names of pairs


class Received(TaggedWord, frozen=True, kw_only=True):
    """A message from a peer, in channel order within one incarnation of the peer."""

    source: NodeId
    incarnation: int
    message: Message


class TimerFired(TaggedWord, frozen=True, kw_only=True):
    """The machine's next_deadline_ns has passed. Late is normal, early is forbidden."""


class PeerChanged(TaggedWord, frozen=True, kw_only=True):
    """The host's opinion about a peer. A higher incarnation means that the old one is gone."""

    peer: NodeId
    state: Literal["up", "suspect", "down"]
    incarnation: int | None  # None: never heard of


class DeviceChanged(TaggedWord, frozen=True, kw_only=True):
    """An instrument of this node became ready or stopped being so."""

    role: Literal["memory", "station", "timing"]
    ready: bool
    lost_state: bool  # the device forgot what it held (reset, power cycle)
    reason: str


class Heralded(TaggedWord, frozen=True, kw_only=True):
    """Hardware told this end directly that an attempt succeeded (links without a station of their own)."""

    link: LinkId
    run: int
    attempt: int
    lane: int
    code: int  # herald code of the link: 1 = Psi+, 2 = Psi-
    at_ns: int
    sigma_ns: int


class QubitHeld(TaggedWord, frozen=True, kw_only=True):
    """The memory froze a slot on its herald line; the outcome comes from the station."""

    slot: int
    link: LinkId
    run: int
    attempt: int
    lane: int
    at_ns: int


class StationHeralded(TaggedWord, frozen=True, kw_only=True):
    """The analyser of this station decided that an attempt succeeded."""

    link: LinkId
    run: int
    attempt: int
    lane: int
    code: int
    at_ns: int
    sigma_ns: int


class StationDecided(TaggedWord, frozen=True, kw_only=True):
    """Bound: every attempt up to and including this one is decided and all its records were told."""

    link: LinkId
    run: int
    attempt: int


class StationLost(TaggedWord, frozen=True, kw_only=True):
    """The outcomes of these attempts are unknown; unknown is not failed."""

    link: LinkId
    run: int
    first: int
    last: int  # inclusive


class BellMeasured(TaggedWord, frozen=True, kw_only=True):
    """A Bell-state measurement order ended."""

    operation: int
    ended: Ended
    outcome: int | None  # Pauli index 0..3 when ended is done; None otherwise
    at_ns: int


class QubitMeasured(TaggedWord, frozen=True, kw_only=True):
    """A single-qubit measurement order ended."""

    operation: int
    ended: Ended
    bit: int | None
    at_ns: int
    stamp_ns: int | None = None  # of the instrument, when it measured; None: it has not said


class QubitPrepared(TaggedWord, frozen=True, kw_only=True):
    """A preparation order ended."""

    operation: int
    ended: Ended
    at_ns: int
    stamp_ns: int | None = None  # of the instrument, when the last turn was done; None: it has not said


class SwitchSet(TaggedWord, frozen=True, kw_only=True):
    """An order to change a switch ended. Unless ended is done, its setting is unknown."""

    operation: int
    ended: Ended
    at_ns: int
    reason: str = ""  # why it failed, or why its end is unknown


class DarkChecked(TaggedWord, frozen=True, kw_only=True):
    """A dark check ended."""

    operation: int
    ended: Ended  # failed: the switch lets through something else than its setting says
    at_ns: int
    rate_hz: float | None  # counts behind the switch without light of this lab; None: nobody counts there
    reason: str = ""


class PairPurified(TaggedWord, frozen=True, kw_only=True):
    """The local half of a purification order ended: the measured slot is empty in any case."""

    operation: int
    ended: Ended
    bit: int | None  # of the measured qubit in Z, 0: eigenvalue +1; None unless ended is done
    at_ns: int
    turned_ns: int | None = None  # when the qubits were turned (mean of both), None: at `at_ns`


class QubitsFused(TaggedWord, frozen=True, kw_only=True):
    """A fusion order ended: the measured slot is empty in any case, the kept one unless ended is done."""

    operation: int
    ended: Ended
    bit: int | None  # of the measured qubit in Z, 0: eigenvalue +1; None unless ended is done
    at_ns: int


class PauliApplied(TaggedWord, frozen=True, kw_only=True):
    """A Pauli order ended."""

    operation: int
    ended: Ended
    at_ns: int


class Persisted(TaggedWord, frozen=True, kw_only=True):
    """The record of this token is on stable storage."""

    token: int


class OutboxChanged(TaggedWord, frozen=True, kw_only=True):
    """The host's queue to some peer rose above its mark, or every queue fell below: the valve of attempt
    windows."""

    full: bool


class RequestSubmitted(TaggedWord, frozen=True, kw_only=True):
    """An application at this node asks for entanglement."""

    request: EntanglementRequest


class RequestCancelled(TaggedWord, frozen=True, kw_only=True):
    """An application at this node withdraws a request."""

    request: RequestId


class ReplanAsked(TaggedWord, frozen=True, kw_only=True):
    """Somebody at this node wants another plan for a request than the one that is in force."""

    request: RequestId


class SuspensionAsked(TaggedWord, frozen=True, kw_only=True):
    """Somebody at this node wants a request to sleep: its memories are free, and nothing attempts for it."""

    request: RequestId
    duration_ns: int


class ResumptionAsked(TaggedWord, frozen=True, kw_only=True):
    """Somebody at this node wants a request that sleeps to go on now."""

    request: RequestId


class LinkCreateSubmitted(TaggedWord, frozen=True, kw_only=True):
    """A user at this node sends a CREATE to its link layer."""

    asked: LinkCreate


class LinkCreateCancelled(TaggedWord, frozen=True, kw_only=True):
    """The user at this node withdraws its CREATE."""

    create: int


class LinkQubitReleased(TaggedWord, frozen=True, kw_only=True):
    """The user at this node has no more need of a kept qubit that was told with OK."""

    end: End


class LinkRestAsked(TaggedWord, frozen=True, kw_only=True):
    """A calibration beside this node wants a link, of which the node is side 0, to make no attempts."""

    link: LinkId
    number: int  # of the calibration's own; it finds its rest by it
    length_ns: int


class LinkRestGivenUp(TaggedWord, frozen=True, kw_only=True):
    """The calibration waits no longer for the rest of this number."""

    link: LinkId
    number: int


class StorageAsked(TaggedWord, frozen=True, kw_only=True):
    """A calibration beside this node wants a state kept in a slot of its own, and then measured."""

    number: int  # of the calibration's own; it finds the report by it
    turns: tuple[int, int, int]  # of |0>, X-Y-X in units of 2 pi / 256
    basis: Literal["X", "Y", "Z"]
    storage_ns: int
    within_ns: int  # it is not begun later than that


class LinkPinged(TaggedWord, frozen=True, kw_only=True):
    """Somebody has measured pairs of a link of this node and tells what came of it."""

    link: LinkId
    found: LinkVerification


class LeaveAsked(TaggedWord, frozen=True, kw_only=True):
    """The operator wants this node to leave the network in order. It stays away until its next life."""

    reason: str


class Record(TaggedWord, frozen=True, kw_only=True):
    """A durable record: `key` names the thing, a later record of the same kind and key replaces an earlier
    one."""

    kind: Literal["request", "delivery", "monitor", "sequence"]
    key: str
    body: bytes  # msgpack of the part's own record type


Event = (
    Started
    | Received
    | TimerFired
    | PeerChanged
    | DeviceChanged
    | Heralded
    | QubitHeld
    | StationHeralded
    | StationDecided
    | StationLost
    | BellMeasured
    | QubitMeasured
    | PairPurified
    | QubitsFused
    | QubitPrepared
    | PauliApplied
    | Persisted
    | OutboxChanged
    | RequestSubmitted
    | RequestCancelled
    | ReplanAsked
    | SuspensionAsked
    | ResumptionAsked
    | LinkCreateSubmitted
    | LinkCreateCancelled
    | LinkQubitReleased
    | LinkRestAsked
    | LinkRestGivenUp
    | StorageAsked
    | LinkPinged
    | LeaveAsked
    | SwitchSet
    | DarkChecked
)

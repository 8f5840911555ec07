"""Notices: news between the parts of one node, handled first-in first-out within one step.

Owns the notice types. Every part declares which it takes and which it gives; a test draws the graph and
permits only listed cycles.
"""

from typing import Final, Literal

from bellwire.core.facts import Fact
from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.link_messages import LinkAdvertised
from bellwire.core.plans import BestOffer, EntanglementRequest, LinkPlan, NodePlan, RequestPlan, SequencePart
from bellwire.core.record import Word
from bellwire.core.topology_messages import LinkCondition, NodeAnnounced
from bellwire.core.view import LedgerView

CorrectiveActionType = Literal["continue", "replan", "adjust_rate", "adjust_fidelity", "suspend", "terminate"]
""""continue" changes nothing and is told to nobody."""


PlanFault = Literal["planner", "room", "unreachable", "other"]
"""Who stood in a plan's way: the planner knows none now, a node has no room, every way is broken, or anything
else."""


class UpdatePair(Word, frozen=True, kw_only=True):
    """The paper's first GEM interface: one own pair changed. Broadcast records and publishes it."""

    fact: Fact
    audience: tuple[NodeId, ...] = ()  # nodes to wake besides the owners of far ends: those of a group's plan


class LinkPairReady(Word, frozen=True, kw_only=True):
    """The link layer holds a new end (already recorded)."""

    end: End
    slot: int
    request: RequestId | None
    tree: int
    at_ns: int


class EndChanged(Word, frozen=True, kw_only=True):
    """The chain of an own, living end changed (far end, frame, or completeness)."""

    end: End


class EndDied(Word, frozen=True, kw_only=True):
    """The chain of an own end is dead: whoever holds the end must release it."""

    end: End


class EndUnlocked(Word, frozen=True, kw_only=True):
    """An own end takes part in no round of purification any more, and is held again."""

    end: End


CENTRAL: Final = "swap:"
"""Purposes that begin so go to the centre where the network has one; all others to the node's replica."""


class ViewWanted(Word, frozen=True, kw_only=True):
    """A decision asks for the ledger; answered by ViewReady, in the same step from a replica."""

    purpose: str  # the asker's own word, returned unchanged
    request: RequestId | None  # None: all requests


class ViewReady(Word, frozen=True, kw_only=True):
    """The paper's second GEM interface: the entanglement that is available, as of a time."""

    purpose: str
    request: RequestId | None
    view: LedgerView
    as_of_ns: int
    suspects: frozenset[NodeId] = frozenset()  # authors that the host doubts: what is known of them is stale


class SlotFreed(Word, frozen=True, kw_only=True):
    """A slot is free again and may attempt."""

    slot: int


class OwnSlotFreed(Word, frozen=True, kw_only=True):
    """A slot that no link uses is free again: whoever waits for one may take it, applications first."""


class PlanInstalled(Word, frozen=True, kw_only=True):
    """This node's part of a plan is in force."""

    plan: NodePlan


class PlanRemoved(Word, frozen=True, kw_only=True):
    """This node's part of a plan has ended; ends bound to it are withdrawn by their holders."""

    request: RequestId
    version: int


class LinkRequested(Word, frozen=True, kw_only=True):
    """Swapping/planner to link layer: generate pairs."""

    plan: LinkPlan
    waits: bool = False  # the pairs keep their memories until pairs of other links come


class SettingWanted(Word, frozen=True, kw_only=True):
    """Planner to the keeper of a switch: as LinkRequested, for a link that exists at one setting only."""

    plan: LinkPlan
    waits: bool
    fence: int  # of the setting; a higher one replaces a lower one


class ShiftOver(Word, frozen=True, kw_only=True):
    """Link layer to swapping: the lane of this end works for another request from now on."""

    end: End


class LinkWithdrawn(Word, frozen=True, kw_only=True):
    """Stop generating pairs for this request."""

    request: RequestId
    link: LinkId


class PlanRequested(Word, frozen=True, kw_only=True):
    """Transport asks for a plan for a request."""

    request: EntanglementRequest
    version: int
    avoid: tuple[NodeId, ...]
    differs: bool = True  # from the plan in force, which is at fault; False: only the terms have changed
    strict: bool = False  # a way that is known to be broken is none


class PlanActive(Word, frozen=True, kw_only=True):
    """Every node of the plan has accepted its part."""

    plan: RequestPlan


class PlanFailed(Word, frozen=True, kw_only=True):
    """No plan: nobody connects the nodes, a node refused, or the fidelity cannot be reached."""

    request: RequestId
    version: int
    reason: str
    final: bool  # False: trying again later may help
    cause: PlanFault = "other"
    offer: BestOffer | None = None  # the best that could be promised instead, None: nothing, or not known


class RouteBroken(Word, frozen=True, kw_only=True):
    """A plan that is in force uses a node or link that is known to be gone."""

    request: RequestId
    version: int
    reason: str


class PlanEnded(Word, frozen=True, kw_only=True):
    """Transport ends a plan (served, failed, cancelled)."""

    request: RequestId
    version: int


class RequestGenerated(Word, frozen=True, kw_only=True):
    """The application layer hands a request to the transport layer."""

    request: EntanglementRequest


class RequestWithdrawn(Word, frozen=True, kw_only=True):
    """The application layer cancels a request."""

    request: RequestId


class ReplanWanted(Word, frozen=True, kw_only=True):
    """Another plan is wanted for a request; the present one stays in force until the new one replaces it."""

    request: RequestId


class SuspensionWanted(Word, frozen=True, kw_only=True):
    """A person wants a request to sleep for a while, whatever the execution monitor thinks of it."""

    request: RequestId
    duration_ns: int


class ResumptionWanted(Word, frozen=True, kw_only=True):
    """A person wants a request that sleeps to go on now, whoever has sent it to sleep."""

    request: RequestId


class CorrectiveAction(Word, frozen=True, kw_only=True):
    """The paper's Corrective Action (appendix B): its type and its change parameters. Monitoring to request
    processing, which has the lower layers act by plans."""

    request: RequestId
    action: CorrectiveActionType
    percent: float | None  # by which the threshold changes, with its sign; None unless adjust_*
    suspended_ns: int | None  # duration; None unless suspend
    reason: str  # what was seen against what was wanted


class RequestNotified(Word, frozen=True, kw_only=True):
    """The paper's notification: exactly request_id, status, generated_count, error_message."""

    request_id: RequestId
    status: Literal["completed", "failed", "suspended", "in_progress"]
    generated_count: int | None
    error_message: str | None


class EntanglementReported(Word, frozen=True, kw_only=True):
    """The paper's Entanglement Report: one delivered pair. Lower layers to monitoring."""

    request: RequestId
    number: int
    timestamp_ns: int
    age_ns: int
    fidelity: float


class PeerRestarted(Word, frozen=True, kw_only=True):
    """A peer came back with a higher incarnation: everything it held before is gone."""

    peer: NodeId
    incarnation: int


class PeerLost(Word, frozen=True, kw_only=True):
    """The host judges a peer lost; an opinion, never a fact."""

    peer: NodeId


class LinkStateTold(Word, frozen=True, kw_only=True):
    """How it is with a link of this node, as one of its parts has found out: the node announces it."""

    link: LinkId
    state: LinkCondition
    reason: str  # for people; "" for up


class SelfAnnounced(Word, frozen=True, kw_only=True):
    """What this node has just announced of itself: the own map's copy of what its peers were sent."""

    announced: NodeAnnounced


class NodeLeaving(Word, frozen=True, kw_only=True):
    """This node leaves the network: no new work, and what is under way ends."""

    reason: str


class PeerLeft(Word, frozen=True, kw_only=True):
    """A peer says that it leaves; told once in each of its lives, before PeerLost."""

    peer: NodeId
    reason: str


class LinkFiguresTold(Word, frozen=True, kw_only=True):
    """The link layer advertises a link of this node: the own planner's copy of what its peers were sent."""

    advertised: LinkAdvertised


class LinkStateHeard(Word, frozen=True, kw_only=True):
    """A planner has heard that a link anywhere makes no pairs, or does again."""

    link: LinkId
    down: str  # why; "": it makes pairs


class QubitDelivered(Word, frozen=True, kw_only=True):
    """A kept qubit of a request with a use is the application's: it empties the slot and sets it free."""

    request: RequestId
    number: int  # of the delivery, equal at all members
    slot: int
    frame: int  # Pauli index 0..3 that this qubit still needs; 0 at the source, whom the others follow


class PairKept(Word, frozen=True, kw_only=True):
    """A delivered qubit waits here for its use; whoever holds it now empties the slot and sets it free."""

    request: RequestId
    part_of: SequencePart
    number: int  # of the delivery
    slot: int
    born_ns: int  # of the oldest link pair in it
    due_ns: int  # when it is too old to be used


class SequenceWanted(Word, frozen=True, kw_only=True):
    """Request processing has a durable sequence to be served."""

    request: EntanglementRequest


class SequenceTold(Word, frozen=True, kw_only=True):
    """How it is with a sequence: divided into batches, a batch further, done, or impossible."""

    request: RequestId
    happened: Literal["begun", "advanced", "done", "failed"]
    reason: str = ""  # why it failed


class SequenceDropped(Word, frozen=True, kw_only=True):
    """A sequence has come to its end, whatever it has: let go what is kept for it."""

    request: RequestId


class MemoryLost(Word, frozen=True, kw_only=True):
    """The memory instrument forgot its qubits."""

    reason: str


class MemoryReady(Word, frozen=True, kw_only=True):
    """The memory instrument is back (told after MemoryLost when both happened at once)."""


Notice = (
    UpdatePair
    | LinkPairReady
    | EndChanged
    | EndDied
    | EndUnlocked
    | ViewWanted
    | ViewReady
    | SlotFreed
    | OwnSlotFreed
    | PlanInstalled
    | PlanRemoved
    | LinkRequested
    | SettingWanted
    | ShiftOver
    | LinkWithdrawn
    | PlanRequested
    | PlanActive
    | PlanFailed
    | RouteBroken
    | PlanEnded
    | RequestGenerated
    | RequestWithdrawn
    | ReplanWanted
    | SuspensionWanted
    | ResumptionWanted
    | CorrectiveAction
    | RequestNotified
    | EntanglementReported
    | PeerRestarted
    | PeerLost
    | LinkStateTold
    | SelfAnnounced
    | NodeLeaving
    | PeerLeft
    | LinkFiguresTold
    | LinkStateHeard
    | QubitDelivered
    | PairKept
    | SequenceWanted
    | SequenceTold
    | SequenceDropped
    | MemoryLost
    | MemoryReady
)

"""What a machine is told about itself and its network before the first event.

Owns the settings values that `labs.py` makes from a lab file. Integers and estimates only: nothing here
knows the World's hidden truth, only what a lab would write down about its own hardware.
"""

from typing import Literal

import msgspec

from bellwire.core.bell import Cost
from bellwire.core.ids import LinkId, NodeId, RequestId, SwitchId
from bellwire.core.record import Word

Role = Literal["end", "repeater", "station"]

RELAY_SLOTS = 2
"""A swap needs a qubit towards either side."""


class HeraldEstimate(Word, frozen=True, kw_only=True):
    """What a herald code means: the Bell state and how good it is believed to be."""

    code: int
    frame: int  # Pauli index relative to Phi+
    signs: int  # state relative to the frame, Walsh signs
    cost: Cost


class OperatingPoint(Word, frozen=True, kw_only=True):
    """One way to run a link's hardware: brighter is faster and worse (algorithms.md 10.2, FEU)."""

    name: str
    success_probability: float  # of one joint attempt of one lane, as modelled or calibrated
    heralds: tuple[HeraldEstimate, ...]
    settings: dict[str, float]  # what it means to the hardware, by name with unit, for people and bindings


class EstimationSettings(Word, frozen=True, kw_only=True):
    """How a link learns its fidelity from test rounds."""

    table_worth: int = 60  # the lab file's state counts like so many tests in each basis, until excluded
    drift: float = 0.03  # change of the fidelity that is watched for
    false_alarm_tests: int = 50_000  # mean number of tests between false alarms, falls and rises apart


class AheadSettings(Word, frozen=True, kw_only=True):
    """Continuous generation ahead of requests: pairs kept in stock while nobody asks."""

    stock_max: int  # pairs in stock at most; how many are kept follows their use
    age_max_ns: int  # an older pair is given up


Architecture = Literal["double_click", "single_click", "sender_receiver", "midpoint_source", "textbook"]
"""How a link makes pairs (stack paper IV-F); clicks meet in the middle. `textbook`: probabilities only."""


class SwitchPosition(Word, frozen=True, kw_only=True):
    """The setting of a switch at which a link exists."""

    switch: SwitchId
    setting: str


class SwitchSettings(Word, frozen=True, kw_only=True):
    """An optical switch that links go through."""

    switch: SwitchId
    owner: NodeId  # an end of every link through it; its agent moves it
    settings: dict[str, tuple[tuple[int, int], ...]]  # by name: pairs of ingress and egress port
    equipment: str | None  # of the owner, None: it exists in virtual time only
    settle_ns: int  # from the end of a change until light may come
    check_ns: int  # length of the dark check
    dark_max_hz: float  # counts per second that it may find


class LinkSettings(Word, frozen=True, kw_only=True):
    """One elementary link as both ends and the station know it."""

    link: LinkId
    nodes: tuple[NodeId, NodeId]  # side 0, side 1
    station: NodeId | None  # None: hardware tells both ends directly
    period_ns: int  # attempt period
    lanes: int
    # Memory slots at side 0 and side 1: one for each lane, or, where the side is shared, those of a bank that
    # several links of the node use, any of them for any lane.
    slots: tuple[tuple[int, ...], tuple[int, ...]]
    success_probability: float  # of one joint attempt of one lane, as modelled or calibrated
    heralds: tuple[HeraldEstimate, ...]
    click_delay_ns: int  # from the start of an attempt to the click at the station
    herald_delay_ns: tuple[int, int]  # from the click to each end
    length_km: float
    lease_ns: int = 2_000_000_000  # length of an attempt window
    frame_ns: int = 10_000_000  # length of one schedule step when several requests share the link
    # For so long a lane works for one request where more requests than lanes wait for pairs of other links
    # too; 0: lanes go round frame by frame all the same.
    shift_ns: int = 0
    start_margin_ns: int = (
        0  # a run's attempt 0 lies at least this far ahead; live links start on a whole second
    )
    whole_second: bool = False  # attempt 0 on a whole second (hardware armed by PPS)
    reserved_for: RequestId | None = None  # only this request's plans may use the link; None: open to all
    architecture: Architecture = "textbook"
    points: tuple[OperatingPoint, ...] = ()  # from dim to bright; empty: the one way described above
    shared: tuple[bool, bool] = (False, False)  # the side's slots are a bank, see `slots`
    turn_ns: int = 0  # length of a turn of a link at a shared side, 0: the link need not take turns
    turns: int = 1  # turns in a cycle, the same for all links that share a bank
    turn_guard_ns: int = 0  # before the end of a turn nothing is attempted any more for this long
    scheduler: str = "weighted_round_robin"  # registered name
    calendar: tuple[RequestId | None, ...] = ()  # frames granted in turn, for the scheduler "tdma"
    # Turns that a network schedule grants to the link, for ever: a frame of the calendar is a turn then, and
    # attempt 0 of a run lies at the start of a cycle of turns. None: no schedule, nodes agree on turns
    turns_granted: tuple[int, ...] | None = None
    test_share: float = 0.0  # share of heralded pairs that both ends measure to estimate the fidelity
    estimation: EstimationSettings = EstimationSettings()
    # Standard errors of `success_probability` and of the mean fidelity of `heralds` where they were
    # calibrated; None: they are the lab file's guess
    success_error: float | None = None
    fidelity_error: float | None = None
    creates_max: int = 32  # CREATEs in the shared queue, half of them from each end
    ahead: AheadSettings | None = None  # None: pairs are made for requests only
    through: SwitchPosition | None = None  # None: the link is always there

    def point(self, index: int) -> OperatingPoint:
        """An operating point by number; a link without points has one, number 0."""
        if self.points:
            return self.points[index]
        return OperatingPoint(
            name="only", success_probability=self.success_probability, heralds=self.heralds, settings={}
        )


class MemorySettings(Word, frozen=True, kw_only=True):
    """What a node knows about its own quantum memory."""

    slots: int
    rates: Cost  # decay of a stored qubit (2**-56 neper per ns)
    bsm_signs: int  # Walsh effect of one Bell-state measurement
    bsm_cost: Cost
    bsm_success_probability: float
    operation_limit_ns: int  # a device order without result after this long counts as unknown
    bsm_duration_ns: int = 0
    own_slots: int = 0  # of applications, numbered after `slots`: no link uses them
    emitters: int | None = None  # slots that may attempt at the same time, None: all
    gate_fidelity: float = 1.0  # of a two-qubit gate, as the lab believes
    readout_fidelity: float = 1.0  # of one bit
    single_gate_fidelity: float = 1.0  # of a gate on one qubit
    phase_flip: float = 0.0  # probability of a Z error on each qubit before an operation on two of them


class NodeSettings(Word, frozen=True, kw_only=True):
    """One node."""

    name: NodeId
    role: Role
    memory: MemorySettings | None  # None at stations
    links: tuple[LinkId, ...]  # incident links; at a station the link it serves
    purposes: tuple[int, ...] | None = None  # of CREATEs that this node takes part in, None: all
    relays: bool | None = None  # swaps for others; None: as its role says, repeaters do
    region: str = ""  # where ledgers keep to routes: whose stores and links it hears of

    @property
    def may_relay(self) -> bool:
        """True for a node that plans may put between others."""
        relays = self.role == "repeater" if self.relays is None else self.relays
        return relays and self.memory is not None and self.memory.slots >= RELAY_SLOTS


class Timers(Word, frozen=True, kw_only=True):
    """Durations of protocol timers. Defaults suit a metropolitan lab with software latencies of some
    milliseconds."""

    answer_ns: int = 200_000_000  # an unanswered question is asked again after this long
    plan_renew_ns: int = 500_000_000
    plan_lease_ns: int = 3_000_000_000
    herald_bound_ns: int = 100_000_000  # stations tell bounds at least this often
    station_silence_ns: int = 1_500_000_000  # no word from the station for this long: the run is given up
    herald_wait_ns: int = 500_000_000  # a held qubit without a herald report for this long is given up
    delivery_ns: int = (
        5_000_000_000  # an offer not decided by then is aborted, an accepted one gives up its qubit
    )
    age_max_ns: int = 60_000_000_000  # compulsory maximum age of an end where no cutoff is set
    request_ns: int = 600_000_000_000  # a request without a deadline of its own fails after this long
    advert_look_ns: int = 1_000_000_000  # a link looks this often whether its figures are worth telling
    advert_repeat_ns: int = 10_000_000_000  # figures that were told once are told again after this long


CorrectiveRung = Literal["replan", "adjust", "suspend"]


class MonitorSettings(Word, frozen=True, kw_only=True):
    """When the source of a request judges what it gets, and what it may do about it (algorithms.md 9).

    T_min is `duration_min_ns`, or so many expected latencies of the plan in force, but no less than
    `duration_least_ns`: a node that restarts must not cost a request its terms.
    """

    enabled: bool = True
    samples_min: int = 20  # so many pairs are enough to judge by, however soon they came
    duration_min_ns: int | None = None  # enough to judge by, however few pairs came; None: by the latency
    duration_latencies: float = 5.0
    duration_least_ns: int = 2_000_000_000
    cooldown_durations: float = 2.0  # T_min between two actions at least
    suspension_durations: float = 10.0  # T_min of a suspension
    memory_durations: float = 20.0  # T_min after which a pair counts no more; the latest 1000 count at most
    rate_tolerance: float = 0.05  # shortfall that is none, relative
    fidelity_tolerance: float = 0.05
    excess: float = 0.30  # above a threshold from which it is lowered, relative
    change: float = 0.10  # of a threshold in one action, relative
    reduction_max: float = 0.50  # of a threshold below what was asked for, all actions together
    recovered_checks: int = 2  # in a row that a threshold must stand before it is raised again
    ladder: tuple[CorrectiveRung, ...] = ("replan", "adjust", "adjust", "suspend", "replan")  # then it ends


class SuperLinkSettings(Word, frozen=True, kw_only=True):
    """Two nodes between which pairs are kept in store (stack paper IV-B)."""

    request: RequestId  # reserved id under which its pairs are made
    route: tuple[NodeId, ...]  # its first node is the head, which gives pairs away
    tree: str  # of swaps on that route
    target: int  # pairs wanted in store
    threshold: int  # refilled when fewer are there, 1..target
    fidelity_min: float | None = None  # a worse pair is let go; None: any fidelity will do
    age_max_ns: int | None = None  # an older pair is let go; None: the compulsory maximum age


class StoreSettings(Word, frozen=True, kw_only=True):
    """Pre-distribution: pairs made ahead of requests and kept."""

    continuous: bool  # refilled for ever; False: each store is filled once
    super_links: tuple[SuperLinkSettings, ...]
    mode: str = "swap_asap"  # generation mode of the pairs for store
    # After a pair from store was used up, another one is claimed for the same request no sooner: word of
    # what became of the first is on its way.
    pause_ns: int = 5_000_000


class TopologySettings(Word, frozen=True, kw_only=True):
    """How nodes announce themselves and compare their maps (docs/topology.md)."""

    gap_ns: int = 100_000_000  # between two announcements of one node at least
    look_ns: int = 1_000_000_000  # so often a node compares its map with that of one other, in turn


LedgerScope = Literal["network", "routes"]
"""What a replica hears of: every fact, or those of requests that its node serves (docs/gem.md)."""


class NetworkSettings(Word, frozen=True, kw_only=True):
    """The network as every node knows it."""

    nodes: dict[NodeId, NodeSettings]
    links: dict[LinkId, LinkSettings]
    delays_ns: dict[NodeId, dict[NodeId, int]]  # one-way classical delay between any two nodes
    timers: Timers = msgspec.field(default_factory=Timers)
    monitor: MonitorSettings = msgspec.field(default_factory=MonitorSettings)
    # Where the one ledger is that is asked before each choice of a swap; None: every node reads its replica.
    centre: NodeId | None = None
    centre_service_ns: int = 0  # the centre answers one question in this time
    ledgers: LedgerScope = "network"
    correct_frames: bool = True  # the tail applies the physical Pauli before it accepts a kept pair
    stores: StoreSettings | None = None  # None: no pairs are kept over several links
    topology: TopologySettings | None = None  # None: nodes announce nothing and keep no map
    switches: dict[SwitchId, SwitchSettings] = msgspec.field(default_factory=dict[SwitchId, SwitchSettings])

    def owner(self, link: LinkId, side: int) -> NodeId:
        """The node at a side of a link."""
        return self.links[link].nodes[side]

    def delay_ns(self, a: NodeId, b: NodeId) -> int:
        """One-way classical delay."""
        return self.delays_ns[a][b]

    def hears_of_links(self, node: NodeId) -> tuple[NodeId, ...]:
        """The end nodes, planners, that are told of links and stores of this node."""
        if self.ledgers == "network":
            return tuple(name for name, one in self.nodes.items() if one.role == "end")
        return tuple(name for name in self.region_of(node) if self.nodes[name].role == "end")

    def region_of(self, node: NodeId) -> tuple[NodeId, ...]:
        """The nodes of this node's region with a memory, itself included."""
        region = self.nodes[node].region
        return tuple(
            name for name, one in self.nodes.items() if one.region == region and one.memory is not None
        )

    def mapped_by(self, node: NodeId) -> tuple[NodeId, ...]:
        """The nodes and stations on this node's map, in the order of the network: all, or, where ledgers keep
        to routes, those on a link with an end in the node's region."""
        if self.ledgers == "network":
            return tuple(self.nodes)
        region = self._place_of(node)
        found: set[NodeId] = {name for name in self.nodes if self._place_of(name) == region}
        for link in self.links.values():
            if any(self.nodes[end].region == region for end in link.nodes):
                found.update(link.nodes if link.station is None else (*link.nodes, link.station))
        return tuple(name for name in self.nodes if name in found)

    def announces_to(self, node: NodeId) -> tuple[NodeId, ...]:
        """The nodes and stations that have this node on their map, itself left out."""
        if self.ledgers == "network":
            return tuple(name for name in self.nodes if name != node)
        regions = {self._place_of(node)}
        for link in self.nodes[node].links:
            regions.update(self.nodes[end].region for end in self.links[link].nodes)
        return tuple(name for name in self.nodes if name != node and self._place_of(name) in regions)

    def share_map(self, one: NodeId, other: NodeId) -> bool:
        """True for two nodes whose maps must be equal once all is said."""
        return self.ledgers == "network" or self._place_of(one) == self._place_of(other)

    def _place_of(self, node: NodeId) -> str:
        """The region of a node; of a station that of side 0 of its link."""
        settings = self.nodes[node]
        if settings.memory is not None or not settings.links:
            return settings.region
        return self.nodes[self.links[settings.links[0]].nodes[0]].region

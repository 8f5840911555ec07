"""The schema of a lab file: sections, keys with their units, ranges and catalogue defaults.

Owns what one section may say on its own. Refuses references between sections (crosscheck.py) and any
conversion (lab.py): values here are still in the units of their keys.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bellwire.labs.calibration import LinkCalibration
from bellwire.labs.equipment import Composite, Equipment
from bellwire.labs.light import (
    LIGHT_KEYS,
    Alphas,
    Architecture,
    LinkPoint,
    Source,
    Truth,
    check_light,
    check_truth,
    given,
)
from bellwire.labs.light_bench import OpticsSection
from bellwire.labs.monitoring import Monitoring
from bellwire.labs.request_models import Request as Request
from bellwire.labs.scenarios import Scenario
from bellwire.labs.schedule_models import ScheduleSection
from bellwire.labs.sections import (
    BusAddress,
    Count,
    Fidelity,
    Name,
    NodeName,
    NotNegative,
    Positive,
    PositiveProbability,
    Probability,
    Section,
)
from bellwire.labs.stores import Predistribution
from bellwire.labs.switches import Switch, Through
from bellwire.labs.topology import Topology

ChannelNumber = Annotated[int, Field(ge=1, le=64)]
Coordinate = Annotated[float, Field(ge=-20_000.0, le=20_000.0, allow_inf_nan=False)]

CALENDAR_MAX = 256
"""Frames in the calendar of a link."""


class Instrument(Section):
    """One instrument. A real one is addressed as its maker says; `pty:NAME` is an emulated serial device."""

    driver: str
    address: str
    serial_number: int | str | None = None  # None: any instrument of the right kind is accepted
    emulated: bool = False


class NodeInstruments(Section):
    memory: Instrument | None = None  # None: this node cannot run live


class HeraldInstrument(Instrument):
    """What decides attempts: a heralding FPGA, or the tagger `equipment:NAME` of the station by the driver
    tagger_herald.
    """

    # tagger_herald only, all in channels of the tagger
    pps_channel: ChannelNumber | None = None  # one pulse per second; nothing can be dated without it
    # double_click: left_h, left_v, right_h, right_v; single_click: left, right; herald lines of memories:
    # receiver (sender_receiver), first, second (midpoint_source)
    detector_channels: dict[Name, ChannelNumber] = Field(default_factory=dict)
    detector_delays_ns: dict[Name, float] = Field(default_factory=dict)  # how late a click is tagged; 0
    window_ns: Count | None = None  # in which the light of an attempt counts; null: 48


class StationInstruments(Section):
    herald: HeraldInstrument | None = None
    timing: Instrument | None = None


class Memory(Section):
    """Quantum memory. Defaults: a trapped ion or neutral atom in a cavity, as published by laboratories."""

    t1_s: Positive | None = 60.0  # hyperfine qubits relax in minutes; null: never
    # with dynamical decoupling, 0.1 to 10 s are published; null: only what T1 implies
    t2_s: Positive | None = 1.0
    depolarising_time_s: Positive | None = None  # null: no depolarising beyond T1 and T2
    emission_efficiency: PositiveProbability = 0.35  # emission into a cavity mode and into the fibre
    conversion_efficiency: PositiveProbability = 0.5  # frequency conversion to 1550 nm, waveguide and filters
    # Receiving (sender_receiver, midpoint_source): an arriving photon is converted back, stored, and heralds
    # itself through the memory's own detector.
    absorption_efficiency: PositiveProbability = 0.4  # into a cavity mode on resonance
    herald_efficiency: PositiveProbability = 0.6  # a stored photon is noticed
    herald_dark_rate_hz: NotNegative = 50.0  # the memory heralds without a photon
    herald_window_ns: Positive = 50.0  # length of the pulse that the memory waits for
    gate_fidelity: Probability = 0.99  # two-qubit gate; trapped ions 0.99 to 0.999
    single_gate_fidelity: Probability = 0.999
    readout_fidelity: Probability = 0.995  # fluorescence readout of one qubit
    # of each qubit just before a Bell measurement, on top of gate_fidelity: dephasing while the gate runs
    phase_flip: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    # a gate plus readout always answers; linear optics: 0.5
    bsm_success_probability: PositiveProbability = 1.0
    bsm_duration_us: NotNegative = 200.0  # gate and fluorescence readout
    initialise_us: NotNegative = 10.0  # optical pumping before each attempt
    # slots that all links of the node share, any of them for any lane; null: every lane has one of its own
    bank: Count | None = None
    emitters: Count | None = None  # slots that may attempt at the same time; null: all of them
    # slots beside those of the links, for qubits of applications: a teleportation needs one at its source
    own_slots: Annotated[int, Field(ge=0, le=64)] = 0

    @model_validator(mode="after")
    def _coherence_is_physical(self) -> Self:
        if self.t1_s is not None and self.t2_s is not None and self.t2_s > 2 * self.t1_s:
            raise ValueError(f"t2_s = {self.t2_s} exceeds 2 t1_s = {2 * self.t1_s}, which no qubit can do")
        return self

    @model_validator(mode="after")
    def _heralds_mean_something(self) -> Self:
        if self.herald_dark_rate_hz * self.herald_window_ns > 0.1e9:
            raise ValueError(
                "herald_dark_rate_hz x herald_window_ns is above 0.1 heralds without a photon; no herald "
                "would mean anything"
            )
        return self


class Node(Section):
    role: Literal["end", "repeater"]
    address: BusAddress | None = None  # where others reach the node's agent; None: only virtual time
    listen: BusAddress | None = None  # where the agent listens, if that is another address; null: `address`
    position_km: tuple[Coordinate, Coordinate] | None = None  # east and north, for maps; null: laid out
    memory: Memory = Memory()
    instruments: NodeInstruments = NodeInstruments()
    equipment: dict[Name, Equipment] = Field(default_factory=dict)
    composites: dict[Name, Composite] = Field(default_factory=dict)
    # purpose numbers of link CREATEs that the node takes part in; null: all
    purposes: tuple[Annotated[int, Field(ge=0, le=65535)], ...] | None = None
    # plans may put the node between two others; null: as its role says, repeaters do, end nodes do not
    relays: bool | None = None
    # where `ledgers` is routes: planners hear what links and stores of their own region can do; null: of the
    # region of all nodes that name none
    region: Name | None = None


class Detectors(Section):
    """The station's detectors. Defaults: superconducting nanowires (SNSPD) of catalogue quality."""

    efficiency: PositiveProbability = 0.9  # system detection efficiency at 1550 nm
    dark_rate_hz: NotNegative = 100.0  # per detector, black-body light through the fibre included
    window_ns: Positive = 5.0  # coincidence window of one time bin
    visibility: Probability = 0.95  # Hong-Ou-Mandel overlap of the two memories' photons
    number_resolving: bool = False
    # Decay time of the photons: the window then takes its share of each, and `visibility` is that of whole
    # photons; null: `efficiency` and `visibility` hold as they are, whatever the window
    photon_lifetime_ns: Positive | None = None

    @model_validator(mode="after")
    def _darks_are_rare(self) -> Self:
        if self.dark_rate_hz * self.window_ns > 0.1e9:
            raise ValueError(
                "dark_rate_hz x window_ns is above 0.1 dark counts per window; no herald would mean anything"
            )
        return self


class Station(Section):
    address: BusAddress | None = None
    listen: BusAddress | None = None  # as of a node
    detectors: Detectors = Detectors()
    instruments: StationInstruments = StationInstruments()
    equipment: dict[Name, Equipment] = Field(default_factory=dict)
    composites: dict[Name, Composite] = Field(default_factory=dict)


class Attempt(Section):
    """A textbook link: no optics, only how often and how well an attempt succeeds."""

    period_us: Annotated[float, Field(ge=0.01)]
    success_probability: PositiveProbability
    fidelity: Fidelity = 1.0  # Werner state


class Ahead(Section):
    """Pairs that a link makes ahead of requests, while nobody asks for any."""

    stock: Count  # pairs kept at most; how many follows their use
    age_max_s: Positive  # an older pair is given up


class Estimation(Section):
    """How a link learns its fidelity from test rounds (`test_share`)."""

    table_worth: Count = (
        60  # this file's state counts like so many tests in each basis, until they exclude it
    )
    drift: Annotated[float, Field(gt=0, le=0.25)] = 0.03  # change of the fidelity that is watched for
    false_alarm_tests: Annotated[int, Field(ge=100)] = 50_000  # mean tests between false alarms of a drift


class Link(Section):
    """One elementary link: through a heralding station, or in textbook form (`attempt`)."""

    nodes: tuple[str, str]
    lanes: Count = 1  # memory pairs that attempt side by side
    station: str | None = None
    # arm of the first node, arm of the second node; sender_receiver: the receiver's is 0
    fibre_km: tuple[NotNegative, NotNegative] | None = None
    attenuation_db_per_km: NotNegative = 0.2  # G.652 fibre at 1550 nm
    insertion_loss_db: NotNegative = 0.0  # connectors and switches of each arm
    architecture: Architecture = "double_click"
    alpha: Alphas | None = None  # single_click: bright-state population of each node
    phase_rms_rad: NotNegative = 0.0  # single_click: optical phase noise between the arms
    sender: str | None = None  # sender_receiver: the node that emits, None: the first
    intrinsic_fidelity: Fidelity | None = None  # sender_receiver: of a stored photon's pair, None: 0.98
    source: Source | None = None  # midpoint_source
    operating_points: tuple[LinkPoint, ...] = ()  # from dim to bright; the first holds where nobody chooses
    truth: Truth | None = None  # what the World has instead, unknown to the nodes
    # None: until an attempt is decided and both ends know, plus initialisation
    attempt_period_us: Positive | None = None
    attempt: Attempt | None = None
    length_km: NotNegative | None = None  # textbook form only: sets the classical delay
    reserved_for: str | None = None  # only this request may use the link: memories of its own
    # share of heralded pairs that both ends measure, to know the fidelity; they are not delivered
    test_share: Annotated[float, Field(ge=0, le=0.95)] = 0.0
    estimation: Estimation = Estimation()
    ahead: Ahead | None = None  # null: pairs are made for requests only
    through: Through | None = None  # the setting of a switch at which the link exists; null: it always does
    creates_max: Annotated[int, Field(ge=2, le=1024)] = 32  # link CREATEs in the queue, half from each end
    scheduler: str = "weighted_round_robin"  # how requests share the link (see link_layer/schedulers)
    # tdma: frames of schedule_step_ms in turn, each granted to a request by name or to nobody (null)
    calendar: Annotated[tuple[str | None, ...], Field(max_length=CALENDAR_MAX)] = ()
    calibration: LinkCalibration | None = None  # null: no procedure is known for this link

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.nodes[0] == self.nodes[1]:
            raise ValueError(f'both ends are "{self.nodes[0]}"; a link joins two different nodes')
        if self.attempt is None:
            if self.station is None or self.fibre_km is None:
                raise ValueError("give either station and fibre_km, or attempt (textbook form)")
            if self.length_km is not None:
                raise ValueError(
                    "length_km belongs to the textbook form; here the length is the sum of fibre_km"
                )
            check_light(self)
            check_truth(self.truth, self.architecture)
        else:
            physical = given(self, LIGHT_KEYS)
            if physical:
                raise ValueError(f"attempt (textbook form) excludes {', '.join(physical)}")
            check_truth(self.truth, "textbook")
        if (self.scheduler == "tdma") != bool(self.calendar):
            raise ValueError("calendar (frames granted in turn) goes with scheduler: tdma, and only there")
        return self


class Classical(Section):
    """Classical delays between agents."""

    delay: Literal["fibre", "zero"] = "fibre"
    # one-way delay of a link, by name, instead of the fibre's
    delay_us: dict[str, NotNegative] = Field(default_factory=dict)
    extra_ms: NotNegative = 0.0  # added to every message: switches, software


class TimerOverrides(Section):
    """Protocol timers; absent ones keep the defaults of core/settings.py."""

    answer_ms: Positive | None = None
    plan_renew_ms: Positive | None = None
    plan_lease_ms: Positive | None = None
    herald_bound_ms: Positive | None = None
    station_silence_ms: Positive | None = None
    herald_wait_ms: Positive | None = None
    delivery_ms: Positive | None = None
    age_max_s: Positive | None = None
    request_s: Positive | None = None
    advert_look_ms: Positive | None = None
    advert_repeat_s: Positive | None = None


class Limits(Section):
    operation_limit_ms: Positive = 250.0  # a device order without result after this long counts as unknown
    window_lease_ms: Positive = 2000.0  # length of an attempt window
    schedule_step_ms: Positive = 10.0  # turn of one request on a shared link
    # For so long a lane works for one request where a link has fewer lanes than requests that go further:
    # some twenty times what a pair of a whole route takes. 0: no shifts, and such requests can jam
    lane_shift_ms: NotNegative = 500.0
    # Links that share a bank or an emitter take turns on the common clock. 0: no turns, any free memory may
    # attempt on any link at any time
    turn_ms: NotNegative = 10.0
    turns: Count | None = None  # in a cycle; null: four for each link that must not coincide with others
    turn_guard_ms: NotNegative = 1.0  # a turn ends with so much time for late heralds, nothing attempts then


class Clock(Section):
    """How runs of a live lab begin; virtual time has no need of it."""

    whole_second: bool = True  # attempt 0 lies on a whole second, because hardware is armed by the PPS edge
    start_margin_ms: NotNegative = 400.0  # and at least this far ahead: arming over serial lines takes time


class Console(Section):
    """Where a program listens that moves instruments of the lab through their agents; it is no node."""

    address: BusAddress


class CentralLedger(Section):
    """One ledger for all nodes instead of a replica at each: choices of swaps are asked of it."""

    node: NodeName | None = None  # None: the node with the least sum of delays to all others
    service_ms: NotNegative = 0.0  # that one question takes; later ones wait


class LabFile(Section):
    """A whole lab file."""

    lab: Name
    description: str = ""
    clock: Clock = Clock()
    seed: Annotated[int, Field(ge=0)] = 1  # chance of the emulated and of the virtual World
    correct_frames: bool = True  # the tail applies the physical Pauli before it accepts a kept pair
    nodes: Annotated[dict[NodeName, Node], Field(min_length=2)]
    stations: dict[NodeName, Station] = Field(default_factory=dict)
    links: Annotated[dict[Name, Link], Field(min_length=1)]
    switches: dict[Name, Switch] = Field(default_factory=dict)  # optical ones, that links go through
    optics: OpticsSection | None = None  # emulated labs: the light that equipment acts on
    console: Console | None = None  # None: instruments are reached on their own computers only
    classical: Classical = Classical()
    requests: tuple[Request, ...] = ()
    # The requests for pairs are planned at once, as the level-based optimum of the sum of their rates, or of
    # the least of them; null: each is planned for itself when it comes
    plan_together: Literal["total", "max_min"] | None = None
    central_ledger: CentralLedger | None = None  # None: every node keeps a replica
    # What a replica hears of: every fact of the network, or those of requests that its node serves
    ledgers: Literal["network", "routes"] = "network"
    predistribution: Predistribution = Predistribution()
    schedule: ScheduleSection | None = None  # null: links share their time by their own schedulers
    scenario: Scenario = Scenario()
    timers: TimerOverrides = TimerOverrides()
    monitoring: Monitoring = Monitoring()
    topology: Topology = Topology()
    limits: Limits = Limits()

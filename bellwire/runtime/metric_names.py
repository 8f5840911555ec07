"""Every metric of bellwire: its name as Prometheus has it, kind, meaning and labels.

Owns the table, in the order of the page. Refuses values (metric_families.py). Base units stand in the names;
labels are names of the lab file or of the code, never of requests, so their number is bounded.
"""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Described:
    """One metric."""

    kind: Literal["gauge", "counter", "histogram", "info"]
    told: str
    labels: tuple[str, ...] = ("node",)


METRICS: Final[dict[str, Described]] = {
    # processes
    "bellwire_agent_up": Described("gauge", "1 when the agent answers, 0 when not."),
    "bellwire_build_info": Described("info", "Software of an agent: version, python."),
    "bellwire_agent_ready": Described("gauge", "1 when its instruments are ready and all its peers are up."),
    "bellwire_agent_incarnation": Described("gauge", "Life of the agent; each start adds one."),
    "bellwire_agent_steps_total": Described("counter", "Events that the machine has handled."),
    "bellwire_agent_step_longest_seconds": Described("gauge", "Longest step of the present second."),
    "bellwire_agent_clock_steps_back_total": Described("counter", "How often the system clock was set back."),
    "bellwire_log_lines_lost_total": Described("counter", "Log lines that the disk did not take."),
    "bellwire_health_events_total": Described(
        "counter", "Events of the host that an operator may want to know.", ("node", "event")
    ),
    # bus
    "bellwire_peer_up": Described(
        "gauge", "1 when the node hears that peer, 0 when it is suspect or down.", ("node", "peer")
    ),
    "bellwire_bus_queue_messages": Described(
        "gauge", "Messages that wait for peers; class backlog: facts in no message yet.", ("node", "class")
    ),
    "bellwire_bus_congested_peers": Described(
        "gauge", "Peers whose queue is above its mark; above 0 no new attempt windows are granted."
    ),
    "bellwire_bus_frames_received_total": Described("counter", "Frames from all peers."),
    # instruments
    "bellwire_instrument_ready": Described(
        "gauge", "1 when the instrument may be used.", ("node", "instrument")
    ),
    "bellwire_instrument_heard_age_seconds": Described(
        "gauge", "Time since the instrument last answered.", ("node", "instrument")
    ),
    "bellwire_memory_slots": Described("gauge", "Memory slots by state.", ("node", "state")),
    # links
    "bellwire_link_heralds_total": Described(
        "counter", "Heralds that reached this end of the link.", ("node", "link")
    ),
    "bellwire_link_events_total": Described(
        "counter", "Other counters of this end of the link.", ("node", "link", "event")
    ),
    "bellwire_link_duty_ratio": Described("gauge", "Share of time in which the link may attempt.", ("link",)),
    "bellwire_link_requests": Described("gauge", "Requests that want pairs of the link.", ("link",)),
    "bellwire_link_fidelity_ratio": Described(
        "gauge", "Fidelity of fresh pairs at an operating point, as measured last.", ("link", "point")
    ),
    "bellwire_link_success_ratio": Described(
        "gauge", "Probability that one joint attempt of one lane succeeds.", ("link", "point")
    ),
    # gates
    "bellwire_swaps_total": Described("counter", "Swaps and what became of them.", ("node", "event")),
    "bellwire_fusions_total": Described(
        "counter", "Fusions of states of more than two nodes, and what became of them.", ("node", "event")
    ),
    "bellwire_station_events_total": Described(
        "counter", "Counters of a heralding station.", ("node", "event")
    ),
    # requests
    "bellwire_requests": Described(
        "gauge", "Requests submitted at the node, by kind and state.", ("node", "kind", "state")
    ),
    "bellwire_pairs_total": Described(
        "counter",
        "Pairs (and larger states) whose head is here: delivered, settled, void; and of their requests "
        "corrections, plans_failed, requests_refused.",
        ("node", "kind", "event"),
    ),
    "bellwire_pair_fidelity_ratio": Described(
        "histogram", "Estimated fidelity at delivery.", ("node", "kind")
    ),
    "bellwire_pair_age_seconds": Described(
        "histogram", "Age at delivery of the oldest link pair in it.", ("node", "kind")
    ),
    "bellwire_stored_pairs": Described("gauge", "Pairs in store, at the head.", ("node", "super_link")),
    # ledger
    "bellwire_ledger_facts_applied_total": Described("counter", "Facts folded into the ledger of the node."),
    "bellwire_ledger_facts_refused_total": Described(
        "counter", "Facts about ends that had ended, or of an older life."
    ),
    "bellwire_ledger_ends": Described("gauge", "Ends of pairs that the ledger remembers."),
    "bellwire_ledger_facts_held": Described("gauge", "Facts that wait behind a hole in an author's stream."),
    "bellwire_ledger_lag_facts": Described(
        "gauge",
        "Facts of all authors together that the ledger has not folded yet; not where ledgers keep to routes.",
    ),
    # calibrations
    "bellwire_calibration_expiry_timestamp_seconds": Described(
        "gauge",
        "Unix time until which a calibration holds; absent where it has no end.",
        ("link", "procedure"),
    ),
    "bellwire_calibration_usable": Described(
        "gauge",
        "1 when the calibration is in force, 0 when not or when it was never made.",
        ("link", "procedure"),
    ),
}

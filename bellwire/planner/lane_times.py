"""How long a link takes for a pair, lane by lane, and what state the pair is in.

Owns the two figures of one link from which every plan begins. Refuses choices: which link and which operating
point is usable.py's and points.py's.
"""

from bellwire.core.bell import Bell, Walsh, from_walsh
from bellwire.core.settings import LinkSettings
from bellwire.core.units import s_from_ns


def lane_latency_s(link: LinkSettings) -> float:
    """Mean time from a free lane to a pair known at both ends.

    (1/q - 1) failed attempts, then flight to the click and the herald's way to the farther end. Pairs that
    are measured as tests are not delivered: their share of the time is lost.
    """
    failed_s = (1.0 / link.success_probability - 1.0) * s_from_ns(link.period_ns)
    pair_s = failed_s + s_from_ns(link.click_delay_ns + max(link.herald_delay_ns))
    return pair_s / (1.0 - link.test_share)


def link_latency_s(link: LinkSettings) -> float:
    """T_link: mean seconds per pair while all lanes are free to attempt."""
    return lane_latency_s(link) / link.lanes


def link_state(link: LinkSettings) -> Bell:
    """Mean state of a fresh pair relative to its herald's frame; herald codes come equally often."""
    states = [from_walsh(Walsh(herald.signs, herald.cost)) for herald in link.heralds]
    n = len(states)
    a, b, c, d = (sum(state[index] for state in states) / n for index in range(4))
    return (a, b, c, d)

"""Units and the few constants of nature that protocols need.

Owns conversions between the units of configuration files and the integers of protocols (nanoseconds).
Refuses floats for time inside protocols.
"""

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000

LIGHT_IN_FIBRE_NS_PER_KM = 5_000
"""Signal speed in fibre 2e8 m/s (algorithms.md section 0.2)."""


def fibre_delay_ns(length_km: float) -> int:
    """Time of flight through `length_km` of fibre, rounded to whole nanoseconds."""
    return round(length_km * LIGHT_IN_FIBRE_NS_PER_KM)


def ns_from_s(duration_s: float) -> int:
    """Seconds to whole nanoseconds."""
    return round(duration_s * NS_PER_S)


def s_from_ns(duration_ns: int) -> float:
    """Nanoseconds to seconds, for reports only."""
    return duration_ns / NS_PER_S

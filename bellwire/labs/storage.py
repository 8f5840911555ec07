"""How a stored qubit decays, from the coherence times of a lab file.

Owns the conversion to whole nanoseconds and to the ledger's rates (core/bell.py, algorithms.md 11.5), and
back to the times in which a bit and a phase are lost. Refuses everything else about a memory (optics.py).
"""

from bellwire.core.bell import COST_UNIT_PER_NEPER, Cost, decay_rates
from bellwire.core.units import NS_PER_S, ns_from_s
from bellwire.labs.models import Memory


def memory_times_ns(memory: Memory) -> tuple[int | None, int | None, int | None]:
    """T1, T2 and the depolarising time; None where a process is absent."""
    t1, t2, mixing = (
        None if time_s is None else max(1, ns_from_s(time_s))
        for time_s in (memory.t1_s, memory.t2_s, memory.depolarising_time_s)
    )
    return t1, t2, mixing


def memory_rates(memory: Memory) -> Cost:
    """Decay of one stored qubit, as the ledger counts it."""
    return decay_rates(*memory_times_ns(memory))


def lifetimes_s(memory: Memory) -> tuple[float | None, float | None]:
    """In which a bit, and a phase, falls to 1/e, whatever it is that takes it; None: never."""
    phase, bit, _ = memory_rates(memory)
    return _lifetime_s(bit), _lifetime_s(phase)


def _lifetime_s(rate: int) -> float | None:
    return COST_UNIT_PER_NEPER / rate / NS_PER_S if rate else None

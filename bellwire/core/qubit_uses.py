"""What the members of a request do with qubits that they keep: measure them, or teleport a state.

Owns the words. Refuses behaviour: the application at each node acts on them (applications/qubit_uses.py).

Everything goes by the number of the delivery, which all members know: number n (from 1) takes the entry
(n - 1) mod length of each list. Void deliveries use up a number.
"""

from bellwire.core.link_words import Basis
from bellwire.core.record import TaggedWord

Turns = tuple[int, int, int]
"""Turns of |0> about X, then Y, then X, in units of 2 pi / 256."""


class MeasureUse(TaggedWord, frozen=True, kw_only=True):
    """Every member measures its qubit as soon as it has it."""

    settings: tuple[tuple[Basis, ...], ...]  # of each delivery the bases of all members, the source first

    def of(self, number: int) -> tuple[Basis, ...]:
        """The bases of a delivery."""
        return self.settings[(number - 1) % len(self.settings)]


class TeleportUse(TaggedWord, frozen=True, kw_only=True):
    """The source prepares a state in a qubit of its own and teleports it; the destination mends and measures.

    All states are tried in the first basis, then in the next.
    """

    states: tuple[Turns, ...]
    bases: tuple[Basis, ...]

    def of(self, number: int) -> tuple[int, Basis]:
        """Index of the state of a delivery, and the basis in which it is looked at."""
        turn, state = divmod(number - 1, len(self.states))
        return state, self.bases[turn % len(self.bases)]


QubitUse = MeasureUse | TeleportUse


def fault_of_use(use: QubitUse, members: int) -> str | None:
    """Why so many members cannot do this; None: they can."""
    if isinstance(use, TeleportUse):
        if members != 2:
            return f"use: teleportation is between two members, not {members}"
        if not (use.states and use.bases):
            return "use: teleportation needs a state and a basis at least"
        return None
    if not use.settings:
        return "use: settings is empty"
    for bases in use.settings:
        if len(bases) != members:
            return f"use: setting {list(bases)} is for {len(bases)} members; there are {members}"
    return None

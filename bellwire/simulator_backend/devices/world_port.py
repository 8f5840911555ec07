"""What emulated instruments ask of the World, and where they report the truth of what they were told to do.

Owns two types. Refuses any other access: an emulator knows no more than hardware would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.simulator_backend.world_words import Click, PairTruth, PlannedClick

if TYPE_CHECKING:
    from bellwire.simulator_backend.world_fusions import GroupTruth

TruthLog = Callable[[str, int, str, int, "PairTruth | GroupTruth | None", int], None]
"""(node, slot, operation, at_ns, truth before the operation, tag of a release) on each release, measure,
pauli and rotation, and on a Bell measurement with a prepared qubit; three and more entangled qubits are
looked at on a release and a measure only.
"""


class WorldPort(Protocol):
    """The part of `World` that devices use; see world.py for the meaning of each call."""

    def arm(
        self,
        node: str,
        slot: int,
        link: str,
        lane: int,
        run: int,
        epoch_ns: int,
        first_attempt: int,
        last_attempt: int,
        now_ns: int,
        point: int = 0,
    ) -> PlannedClick | None: ...

    def disarm(self, node: str, slot: int, now_ns: int) -> None: ...

    def realise(self, planned: PlannedClick, now_ns: int) -> Click | None: ...

    def measure_bell(self, node: str, slot_a: int, slot_b: int, now_ns: int) -> int | None: ...

    def apply_pauli(self, node: str, slot: int, pauli: int, now_ns: int) -> None: ...

    def gate(self, node: str, slot: int, name: str, angle_rad: float, now_ns: int) -> None: ...

    def cnot(self, node: str, control: int, target: int, now_ns: int) -> None: ...

    def cz(self, node: str, slot_a: int, slot_b: int, now_ns: int) -> None: ...

    def measure(self, node: str, slot: int, basis: str, now_ns: int) -> int: ...

    def release(self, node: str, slot: int, now_ns: int) -> None: ...

    def initialise(self, node: str, slot: int, now_ns: int) -> None: ...

    def lose_node(self, node: str, now_ns: int) -> None: ...

    def change_link(
        self,
        link: str,
        now_ns: int,
        *,
        success_probability: float | None = None,
        outcomes: tuple[HeraldOutcome, ...] | None = None,
        points: tuple[HeraldPhysics, ...] | None = None,
    ) -> tuple[PlannedClick, ...]: ...

    def truth(self, node: str, slot: int, now_ns: int) -> PairTruth | None: ...

    def group_truth(self, node: str, slot: int, now_ns: int) -> GroupTruth | None: ...

"""How long an emulated memory controller takes for its operations.

Owns one record of durations. Refuses to wait: the controller's core schedules.
"""

from __future__ import annotations

from dataclasses import dataclass

from bellwire.drivers.memory_words import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationDurations:
    """How long each kind of operation takes, in ns.

    The defaults are of the order of trapped-ion and NV systems.
    """

    arm_ns: int = 0
    initialise_ns: int = 20_000
    one_qubit_ns: int = 10_000
    two_qubit_ns: int = 200_000
    bell_ns: int = 300_000
    measure_ns: int = 100_000
    release_ns: int = 0

    def of(self, code: Operation) -> int:
        """Duration of an operation in ns."""
        match code:
            case Operation.ARM | Operation.DISARM:
                return self.arm_ns
            case Operation.INITIALISE:
                return self.initialise_ns
            case Operation.HADAMARD | Operation.ROTATION | Operation.PAULI:
                return self.one_qubit_ns
            case Operation.CNOT | Operation.CZ:
                return self.two_qubit_ns
            case Operation.BELL:
                return self.bell_ns
            case Operation.MEASURE:
                return self.measure_ns
            case Operation.RELEASE:
                return self.release_ns

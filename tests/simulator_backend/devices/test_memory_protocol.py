"""The emulated memory controller with time passed in, and proof that planted faults are noticed."""

from __future__ import annotations

from typing import Any

import pytest

from bellwire.drivers.framing import FrameType, Status
from bellwire.drivers.memory_words import Operation, OperationState, Reason
from bellwire.simulator_backend.devices import mailbox, memory_core
from tests.simulator_backend.devices.planting import noticed_by, plant
from tests.simulator_backend.devices.wire import BOOT_NS, PERIOD_NS, Wire


class WorldWithoutPhysics:
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            return 0 if name == "measure" else None

        return call


def memory() -> tuple[Wire, WorldWithoutPhysics, list[tuple[int, Any]]]:
    world = WorldWithoutPhysics()
    later: list[tuple[int, Any]] = []
    core = memory_core.MemoryCore(
        node="n",
        world=world,
        ports={0: "link"},
        slots=2,
        serial_number=1,
        boot_count=1,
        boot_ns=BOOT_NS,
        schedule=lambda at_ns, callback: later.append((at_ns, callback)),
        planned=lambda planned: None,
    )
    wire = Wire(core)
    wire.write("PORT_PERIOD", PERIOD_NS)
    return wire, world, later


def post(wire: Wire, operation: int, code: Operation, *arguments: int) -> int:
    return wire.request(FrameType.WRITE, 0x50, [operation, int(code), *arguments]).status


def end_of(wire: Wire, operation: int) -> tuple[int, int]:
    wire.write("OP_QUERY", operation)
    return wire.read("OP_STATE"), wire.read("OP_RESULT")


def arm(wire: Wire, operation: int, fence: int, slot: int = 0) -> int:
    return post(wire, operation, Operation.ARM, slot, 0, 0, 1, 2000, 0, 0, 10, 0, fence, 0, 0)


def an_id_is_carried_out_once() -> None:
    wire, world, later = memory()
    for _ in range(2):
        assert post(wire, 1, Operation.INITIALISE, 0) == Status.OK
    for at_ns, callback in later:
        callback(at_ns)
    assert post(wire, 1, Operation.INITIALISE, 0) == Status.OK
    assert [call[0] for call in world.calls] == ["initialise"]
    assert end_of(wire, 1) == (OperationState.DONE, 0)
    assert end_of(wire, 2) == (OperationState.NEVER_SEEN, 0)


def operations_run_one_after_the_other() -> None:
    wire, world, later = memory()
    post(wire, 1, Operation.INITIALISE, 0)
    post(wire, 2, Operation.INITIALISE, 1)
    post(wire, 3, Operation.RELEASE, 0, 0)
    assert (len(later), world.calls) == (1, [])
    assert end_of(wire, 3)[0] == OperationState.PENDING
    while later:
        at_ns, callback = later.pop(0)
        callback(at_ns)
    assert [(call[0], call[2]) for call in world.calls if call[0] != "truth"] == [
        ("initialise", 0),
        ("initialise", 1),
        ("release", 0),
    ]


def an_older_fence_is_refused() -> None:
    wire, world, _ = memory()
    arm(wire, 1, 7)
    arm(wire, 2, 6, slot=1)
    assert end_of(wire, 2) == (OperationState.FAILED, Reason.FENCED)
    assert [call[0] for call in world.calls] == ["arm"]


def silence_disarms() -> None:
    wire, world, _ = memory()
    arm(wire, 1, 7)
    wire.now_ns += 1_000_000_000
    wire.tick()
    assert [call[0] for call in world.calls] == ["arm"]
    wire.now_ns += 1
    wire.tick()
    assert [call[0] for call in world.calls] == ["arm", "disarm"]


def no_lease_no_arm() -> None:
    wire, world, _ = memory()
    wire.write("LEASE_MS", 0)
    arm(wire, 1, 7)
    assert end_of(wire, 1) == (OperationState.FAILED, Reason.NO_LEASE)
    assert world.calls == []


DIRECTED = [
    an_id_is_carried_out_once,
    operations_run_one_after_the_other,
    an_older_fence_is_refused,
    silence_disarms,
    no_lease_no_arm,
]

PLANTED: dict[str, tuple[Any, str, str]] = {
    "id carried out again": (
        mailbox,
        "if operation in self._ends:\n            end =",
        "if False:\n            end =",
    ),
    "id taken again": (
        mailbox,
        "if operation in self._ends:\n            end = self._ends[operation]\n",
        "if operation in self._ends:\n            end = self._ends[operation]\n"
        "            self._queue.append((operation, Operation(words[1]), words[2:]))\n"
        "            self._start_next()\n",
    ),
    "operations overlap": (mailbox, "while self._queue and not self._busy:", "while self._queue:"),
    "fence ignored": (memory_core, "if fence < self._fence:", "if False:"),
    "lease never ends": (memory_core, "if self.now_ns - self._heard_ns <= lease_ns:", "if True:"),
    "lease ends early": (memory_core, "self._heard_ns <= lease_ns", "self._heard_ns < lease_ns"),
    "lease forgotten": (memory_core, "raise OperationFailed(Reason.NO_LEASE)", "pass"),
}


@pytest.mark.parametrize("case", DIRECTED, ids=lambda case: case.__name__)
def test_the_memory_controller_keeps_its_promises(case: Any) -> None:
    case()


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, old, new = PLANTED[fault]
    plant(monkeypatch, module, (old, new))
    assert noticed_by(DIRECTED), f"no directed case noticed: {fault}"

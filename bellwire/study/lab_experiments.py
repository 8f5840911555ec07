"""An experiment on a lab: what is scanned, what is measured at each point, how often, and in which world.

Owns the words of an experiment and its identity. Refuses to read what was typed (lab_experiments_plan.py) and
to measure (lab_experiments_virtual.py, lab_experiments_running.py).

A point is one combination of lab-file values and instrument settings. At each point every target is measured:
the pairs of a request from end to end, or those of one elementary link of its route by itself.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from bellwire.core.ids import LinkId, NodeId
from bellwire.core.plans import EntanglementRequest
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.readings import Value
from bellwire.labs import Lab
from bellwire.study.sweeps_keys import Variation

T = TypeVar("T")

Mode = Literal["virtual", "emulated", "live"]

END_TO_END: Final = "end to end"
"""Name of the target that is the whole request; other targets have the name of their link."""

Row = dict[str, Any]
"""One repetition at one target of one point, ready for JSON and for a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceScan:
    """One parameter of one instrument with all values that it shall have."""

    key: str  # as it was typed: device:OWNER-NAME.PARAMETER
    owner: NodeId  # whose agent owns the instrument
    name: str  # of the instrument at its owner
    full_name: str
    parameter: Parameter
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is measured. link: None for the whole request, else this link by itself."""

    name: str
    swap: bool  # pairs of the whole request, over all swaps of its route
    link: LinkId | None = None
    source: NodeId = ""  # of a link: the end that asks
    partner: NodeId = ""  # of a link: its other end
    fidelity_min: float | None = None  # of a link: what the plan of the request asks of it
    predicted_rate_hz: float | None = None  # by the planner, with all lanes free
    predicted_fidelity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """One combination of lab-file values; of an experiment that scans none, the lab file itself.

    values: in the order of the scans. document: the lab file with these values put in, as YAML has it.
    """

    values: tuple[Any, ...]
    document: dict[str, Any]
    lab: Lab
    request: EntanglementRequest  # with the number of pairs or the time that the experiment gives it
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabExperiment:
    """What shall be measured."""

    mode: Mode
    path: Path
    lab: Lab  # as the file has it
    scans: tuple[Variation, ...]  # of lab-file keys
    device_scans: tuple[DeviceScan, ...]
    combinations: tuple[Combination, ...]
    settings: tuple[tuple[Value, ...], ...]  # of instruments, each in the order of the scans; one empty: none
    swaps: tuple[bool, ...]
    repetitions: int
    pairs: int | None  # of each repetition, None: until its time is over
    duration_s: float | None  # of each repetition, None: until it has its pairs
    seed: int
    settle_s: float  # after an instrument was set
    random_order: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """What is scanned: lab-file keys, then instrument settings."""
        return (*(one.key for one in self.scans), *(one.key for one in self.device_scans))

    @property
    def request_id(self) -> str:
        """The request of the lab file that is measured."""
        return self.combinations[0].request.request_id

    @property
    def identity(self) -> str:
        """The same for all commands that go on with one experiment: more values, repetitions or targets may
        be added to it, but nothing else may change."""
        what = (
            self.mode,
            self.lab.digest,
            self.request_id,
            self.keys,
            self.pairs,
            self.duration_s,
            self.seed,
            self.settle_s,
        )
        return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:16]


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One repetition at one target of one point: all that decides its result, but for chance and weather."""

    mode: Mode
    digest: str  # of the lab with its values put in
    keys: tuple[str, ...]
    values: tuple[Any, ...]  # of the point
    target: str
    request: EntanglementRequest
    repetition: int  # from 0
    seed: int  # of the World in virtual time; in an emulated lab that of the first start
    settle_s: float


@dataclass(frozen=True, slots=True)
class Planned:
    """A measurement with what it needs to be carried out. setting: of the instruments."""

    measurement: Measurement
    combination: Combination
    setting: tuple[Value, ...]
    target: Target

    @property
    def shared(self) -> Row:
        """Columns that are known before anything is measured."""
        measured = self.measurement
        return {
            **dict(zip(measured.keys, measured.values, strict=True)),
            "swap": "on" if self.target.swap else "off",
            "target": self.target.name,
            "request": measured.request.request_id,
            "repetition": measured.repetition,
            "mode": measured.mode,
            "predicted_rate_hz": self.target.predicted_rate_hz,
            "predicted_fidelity": self.target.predicted_fidelity,
        }

    def row(self, found: Row) -> Row:
        """The whole row: what was found, and what was known where nothing was."""
        return (
            self.shared
            | {key: value for key, value in found.items() if value is not None}
            | {key: None for key, value in found.items() if value is None and key not in self.shared}
        )


def measurements(experiment: LabExperiment) -> list[Planned]:
    """All of them in the order in which they are made: by combination, then repetition, then setting, so that
    slow drift meets all settings alike. In random order, combinations and the settings of each repetition are
    shuffled by the seed."""
    found: list[Planned] = []
    for combination in _ordered(experiment, experiment.combinations, "combinations"):
        for repetition in range(experiment.repetitions):
            name = f"{experiment.combinations.index(combination)}/{repetition}"
            for setting in _ordered(experiment, experiment.settings, name):
                found += [
                    Planned(
                        _measurement(experiment, combination, setting, target, repetition),
                        combination,
                        setting,
                        target,
                    )
                    for target in combination.targets
                ]
    return found


def _ordered(experiment: LabExperiment, things: Sequence[T], name: str) -> list[T]:
    ordered = list(things)
    if experiment.random_order:
        random.Random(f"{experiment.seed}/{name}").shuffle(ordered)
    return ordered


def _measurement(
    experiment: LabExperiment,
    combination: Combination,
    setting: tuple[Value, ...],
    target: Target,
    repetition: int,
) -> Measurement:
    return Measurement(
        mode=experiment.mode,
        digest=combination.lab.digest,
        keys=experiment.keys,
        values=(*combination.values, *setting),
        target=target.name,
        request=combination.request,
        repetition=repetition,
        seed=experiment.seed + (repetition if experiment.mode == "virtual" else 0),
        settle_s=experiment.settle_s,
    )


_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode


def measurement_key(measured: Measurement, code: str) -> str:
    """Name of a result: changes with anything that decides it. code: version of the sources, "" where the
    result is one of real instruments, which no new version of the software can make again."""
    return hashlib.sha256(code.encode() + b"\0" + _ENCODE(measured)).hexdigest()[:32]

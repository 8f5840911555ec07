"""All procedures by name, in the order of an operator's day: darks, light, clock, polarisation, quality.

Owns the table. Further ones come by entry point `bellwire.procedures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from bellwire.calibration.procedure import Procedure
from bellwire.calibration.procedures.arm_delay import ArmDelay
from bellwire.calibration.procedures.bell_test import BellTest
from bellwire.calibration.procedures.bsm_patterns import BsmPatterns
from bellwire.calibration.procedures.clock import Clock
from bellwire.calibration.procedures.converter_scan import ConverterScan
from bellwire.calibration.procedures.darks import Darks
from bellwire.calibration.procedures.dead_time import DeadTimes
from bellwire.calibration.procedures.detector_bias import DetectorBias
from bellwire.calibration.procedures.detector_delays import DetectorDelays
from bellwire.calibration.procedures.detector_efficiency import DetectorEfficiency
from bellwire.calibration.procedures.detector_jitter import DetectorJitter
from bellwire.calibration.procedures.herald_rate import HeraldRate
from bellwire.calibration.procedures.hom import Hom
from bellwire.calibration.procedures.link_quality import LinkQualityCheck
from bellwire.calibration.procedures.memory_lifetime import MemoryLifetimes
from bellwire.calibration.procedures.oven_scan import OvenScan
from bellwire.calibration.procedures.photon_statistics import PhotonStatistics
from bellwire.calibration.procedures.polarisation import Polarisation
from bellwire.calibration.procedures.reference_polarisation import ReferencePolarisation
from bellwire.calibration.procedures.references import References
from bellwire.calibration.procedures.source_power import SourcePower
from bellwire.calibration.procedures.tomography import StateTomography
from bellwire.calibration.procedures.window import Window
from bellwire.calibration.trackers.clock_look import KeepClock
from bellwire.calibration.trackers.delay_look import KeepDelay
from bellwire.calibration.trackers.polarisation_look import KeepPolarisation

GROUP = "bellwire.procedures"


def procedures() -> Mapping[str, Procedure]:
    """Those of bellwire, then those that are installed beside it."""
    own: tuple[Procedure, ...] = (
        References(),
        DetectorBias(),
        Darks(),
        OvenScan(),
        DeadTimes(),
        Clock(),
        DetectorDelays(),
        Window(),
        DetectorJitter(),
        DetectorEfficiency(),
        SourcePower(),
        PhotonStatistics(),
        Polarisation(),
        ReferencePolarisation(),
        ConverterScan(),
        ArmDelay(),
        Hom(),
        BsmPatterns(),
        HeraldRate(),
        MemoryLifetimes(),
        LinkQualityCheck(),
        BellTest(),
        StateTomography(),
        KeepClock(),
        KeepDelay(),
        KeepPolarisation(),
    )
    table = {one.name: one for one in own}
    for entry in entry_points(group=GROUP):
        table.setdefault(entry.name, entry.load()())
    return table

"""What stands around the electronics of a heralding station: detectors, tagger, delay line, paddles,
switch.

Owns the preparation of a station for a link and the dark check: with the switch turned away from the
fibres, only darks may be left. Refuses the outcome of attempts, which is the analyser's (herald_fpga.py),
and calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.roles import (
    DelayLine,
    OpticalSwitch,
    PolarizationController,
    SinglePhotonDetectors,
    TimeTagger,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StationSetting:
    """How a station is set for one link. What is not named stays as it is.

    `routes`: ingress -> egress of the switch. `delay_ps`: of the delay line. `angles_deg`: for each
    controller in turn, angle by paddle. `bias_ua`, `trigger_mv`: by detector.
    """

    routes: Mapping[int, int] = field(default_factory=dict[int, int])
    delay_ps: float | None = None
    angles_deg: Sequence[Mapping[int, float]] = ()
    bias_ua: Mapping[int, float] = field(default_factory=dict[int, float])
    trigger_mv: Mapping[int, float] = field(default_factory=dict[int, float])


class AnalyserOptics:
    """The instruments of one station as one thing; absent ones are None."""

    def __init__(
        self,
        name: str,
        detectors: SinglePhotonDetectors,
        *,
        tagger: TimeTagger | None = None,
        delay: DelayLine | None = None,
        polarization: Sequence[PolarizationController] = (),
        switch: OpticalSwitch | None = None,
    ) -> None:
        self.name = name
        self.detectors = detectors
        self.tagger = tagger
        self.delay = delay
        self.polarization = tuple(polarization)
        self.switch = switch

    async def prepare(self, setting: StationSetting) -> None:
        """Bring the station to a setting: light paths first, detectors last, so that they see no moving
        switch.

        Raises LocalMisuse for a setting of an instrument that is not there, and the instruments' faults.
        """
        self._require(setting)
        if setting.routes and self.switch is not None:
            await self.detectors.set_enabled(False)
            for ingress, egress in setting.routes.items():
                await self.switch.connect_ports(ingress, egress)
        if setting.delay_ps is not None and self.delay is not None:
            await self.delay.set_delay_ps(setting.delay_ps)
        for controller, angles_deg in zip(self.polarization, setting.angles_deg, strict=False):
            for paddle, angle_deg in angles_deg.items():
                await controller.set_angle_deg(paddle, angle_deg)
        for channel, bias_ua in setting.bias_ua.items():
            await self.detectors.set_bias_ua(channel, bias_ua)
        for channel, level_mv in setting.trigger_mv.items():
            await self.detectors.set_trigger_mv(channel, level_mv)
        await self.detectors.set_enabled(True)

    async def check_darks(self, ingress: Sequence[int], rate_max_hz: float) -> dict[int, float]:
        """Disconnect these ports and return the rates that are left, by detector.

        The ports are connected again afterwards. Raises DeviceError for a detector above `rate_max_hz`.
        """
        if self.switch is None:
            raise LocalMisuse(f"{self.name} has no switch to close the fibres with")
        before = dict(await self.switch.read_connections())
        closed = [port for port in ingress if port in before]
        try:
            for port in closed:
                await self.switch.disconnect_ports(port)
            darks_hz = dict(await self.detectors.read_rates_hz())
        finally:
            for port in closed:
                await self.switch.connect_ports(port, before[port])
        bright = {channel: rate_hz for channel, rate_hz in darks_hz.items() if rate_hz > rate_max_hz}
        if bright:
            told = ", ".join(f"{channel}: {rate_hz:.0f}/s" for channel, rate_hz in bright.items())
            raise DeviceError(self.name, f"darks above {rate_max_hz:g}/s with the fibres closed: {told}")
        return darks_hz

    async def safe_state(self) -> None:
        """Detectors off, confirmed by read-back; the optics stay where they are."""
        await self.detectors.set_enabled(False)

    def _require(self, setting: StationSetting) -> None:
        if setting.routes and self.switch is None:
            raise LocalMisuse(f"{self.name} has no switch, but routes were asked for")
        if setting.delay_ps is not None and self.delay is None:
            raise LocalMisuse(f"{self.name} has no delay line, but a delay was asked for")
        if len(setting.angles_deg) > len(self.polarization):
            present, asked = len(self.polarization), len(setting.angles_deg)
            raise LocalMisuse(f"{self.name} has {present} polarisation controllers, not {asked}")

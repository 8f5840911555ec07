"""The laser behind an emulated DLC pro: a diode with threshold and slope, on a cooler that takes its time.

Owns the physics and the parameters that show it. Light in mW is slope x (current - threshold), and the
threshold grows by e in each T0 (the usual law of laser diodes, Coldren and Corzine chapter 2). Turns the
knobs `current_ma` and `pump_mw`. Starts as after somebody pressed the emission button: the current itself
is off. Whoever ends an interlock fault has closed the door and pressed the button off and on, as the
maker's manual asks for.
"""

from __future__ import annotations

import math

from bellwire.drivers.decop import DecopValue
from bellwire.simulator_backend.devices.decop_tree import DecopTree, UserLevel
from bellwire.simulator_backend.devices.surroundings import Wiring

SYSTEM_TYPE = "DLCpro"
FIRMWARE = "3.0.1"
LABEL = "pump"
THRESHOLD_MA = 32.0
THRESHOLD_AT_C = 25.0
T0_K = 120.0
SLOPE_MW_PER_MA = 0.9
CLIP_MA = 140.0
CLIP_LIMIT_MA = 160.0
CURRENT_START_MA = 60.0
TEMPERATURE_START_C = 22.0
TEMPERATURE_C = (15.0, 35.0)
ROOM_C = 23.0
SETTLING_TIME_S = 2.0
READY_K = 0.02
DRIFT_C_PER_S = 0.05
DIODE_V = 1.6
SERIES_OHM = 4.0
HEALTHY, INTERLOCK_OPEN = 0, 1


def power_mw(current_ma: float, temperature_c: float) -> float:
    """Light of the diode in mW at a current in mA and a temperature of the diode in C."""
    threshold_ma = THRESHOLD_MA * math.exp((temperature_c - THRESHOLD_AT_C) / T0_K)
    return SLOPE_MW_PER_MA * max(0.0, current_ma - threshold_ma)


class DlcProLaser:
    """One laser. `now` lets time go on; all else happens at that time."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._now_ns = 0
        self._begun = False
        self._interlock_open = False
        self._drifting = False
        self._drift_c = 0.0
        self._temperature_c = ROOM_C
        self._values: dict[str, DecopValue] = {}
        self.tree = DecopTree()
        self._plant()

    @property
    def emits(self) -> bool:
        """Whether current flows through the diode."""
        values = self._values
        return (
            values["laser1:dl:cc:enabled"] is True
            and values["emission-button-enabled"] is True
            and not values["laser1:dl:cc:forced-off"]
            and not self._interlock_open
        )

    @property
    def current_ma(self) -> float:
        """Current through the diode."""
        return self._real("laser1:dl:cc:current-set") if self.emits else 0.0

    @property
    def power_mw(self) -> float:
        """Light of the diode."""
        return power_mw(self.current_ma, self._temperature_c + self._drift_c)

    def now(self, now_ns: int) -> None:
        """Time goes on: the cooler pulls the diode to its set temperature, first order."""
        elapsed_s = (now_ns - self._now_ns) / 1e9 if self._begun else 0.0
        self._now_ns, self._begun = now_ns, True
        if self._drifting:
            self._drift_c += DRIFT_C_PER_S * elapsed_s
        cooled = self._values["laser1:dl:tc:enabled"] is True
        goal_c = self._real("laser1:dl:tc:temp-set") if cooled else ROOM_C
        self._temperature_c += (goal_c - self._temperature_c) * -math.expm1(-elapsed_s / SETTLING_TIME_S)
        self._shine()

    def open_interlock(self, is_open: bool) -> None:
        """The interlock opens, and the emission button falls out; or somebody has mended both."""
        self._interlock_open = is_open
        self._values["emission-button-enabled"] = not is_open
        self._shine()

    def drift(self, on: bool) -> None:
        """The sensor of the cooler creeps away from the diode, and stays where it is when the fault ends."""
        self._drifting = on

    def _shine(self) -> None:
        if self._begun:
            self._wiring.turn("current_ma", self.current_ma, self._now_ns)
            self._wiring.turn("pump_mw", self.power_mw, self._now_ns)

    def _real(self, name: str) -> float:
        value = self._values[name]
        assert isinstance(value, float), name
        return value

    def _plant(self) -> None:
        tree, values = self.tree, self._values
        for name, value in CONSTANTS.items():
            tree.constant(name, value)
        tree.shown("uptime", lambda: self._now_ns // 1_000_000_000)
        tree.shown("interlock-open", lambda: self._interlock_open)
        tree.shown("system-health", lambda: INTERLOCK_OPEN if self._interlock_open else HEALTHY)
        tree.shown("system-health-txt", lambda: "Interlock is open" if self._interlock_open else "OK")
        for name in ("emission", "laser1:emission", "laser1:dl:cc:emission"):
            tree.shown(name, lambda: self.emits)
        for name in ("system-label", "laser1:label"):
            tree.stored(name, values, LABEL)
        tree.stored("emission-button-enabled", values, True, then=self._shine)
        self._plant_current()
        self._plant_temperature()

    def _plant_current(self) -> None:
        tree, values, cc = self.tree, self._values, "laser1:dl:cc:"
        tree.stored(cc + "enabled", values, False, then=self._shine)
        tree.stored(cc + "forced-off", values, False, level=UserLevel.MAINTENANCE, then=self._shine)
        tree.stored(cc + "positive-polarity", values, True, level=UserLevel.MAINTENANCE)
        tree.stored(cc + "feedforward-enabled", values, False)
        tree.stored(cc + "feedforward-factor", values, 0.0)
        tree.stored(
            cc + "current-set",
            values,
            CURRENT_START_MA,
            limits=lambda: (0.0, self._real(cc + "current-clip")),
            then=self._shine,
        )
        tree.stored(
            cc + "current-clip", values, CLIP_MA, limits=lambda: (0.0, CLIP_LIMIT_MA), then=self._clip_current
        )
        tree.constant(cc + "current-clip-limit", CLIP_LIMIT_MA)
        tree.shown(cc + "current-act", lambda: round(self.current_ma, 4))
        tree.shown(
            cc + "voltage-act",
            lambda: round(DIODE_V + self.current_ma * SERIES_OHM / 1000, 4) if self.emits else 0.0,
        )
        tree.shown(cc + "pd", lambda: round(self.power_mw / 100, 6))
        tree.shown(cc + "status", lambda: 1 if self.emits else 0)
        tree.shown(cc + "status-txt", lambda: "Current on" if self.emits else "Current off")

    def _plant_temperature(self) -> None:
        tree, values, tc = self.tree, self._values, "laser1:dl:tc:"
        tree.stored(tc + "enabled", values, True)
        tree.stored(tc + "temp-set", values, TEMPERATURE_START_C, limits=lambda: TEMPERATURE_C)
        tree.constant(tc + "temp-set-min", TEMPERATURE_C[0])
        tree.constant(tc + "temp-set-max", TEMPERATURE_C[1])
        tree.shown(tc + "temp-act", lambda: round(self._temperature_c, 4))
        tree.shown(tc + "ready", self._is_ready)
        tree.constant(tc + "fault", False)
        tree.shown(tc + "status", lambda: 1 if self._is_ready() else 0)
        tree.shown(tc + "status-txt", lambda: "Temperature ready" if self._is_ready() else "Settling")

    def _is_ready(self) -> bool:
        return abs(self._temperature_c - self._real("laser1:dl:tc:temp-set")) < READY_K

    def _clip_current(self) -> None:
        values, name = self._values, "laser1:dl:cc:current-set"
        values[name] = min(self._real(name), self._real("laser1:dl:cc:current-clip"))
        self._shine()


CONSTANTS: dict[str, DecopValue] = {
    "system-type": SYSTEM_TYPE,
    "system-model": "DLC DL pro",
    "fw-ver": FIRMWARE,
    "ssw-ver": "6.0.1",
    "decof-ver": "4.1.0",
    "frontkey-locked": False,
    "laser1:type": "DL",
    "laser1:product-name": "DL pro",
    "laser1:health": HEALTHY,
    "laser1:health-txt": "OK",
    "laser1:busy": False,
    "laser1:dl:type": "DL pro",
    "laser1:dl:model": "DL pro emulated",
    "laser1:dl:serial-number": "000001",
    "laser1:dl:legacy": False,
}

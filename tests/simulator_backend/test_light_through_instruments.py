"""What the emulated instruments of one light show, read by their drivers over sockets and serial lines.

Pump, oven and delay line are set, and a tagger counts; the closed forms of pairs, darks, accidentals, dead
time and of the Hong-Ou-Mandel dip are written out here. Every comparison is at 4 standard errors of its own
counts: 40 comparisons, so that one is beyond by chance in 400 runs; seeds are fixed, but which stretch of
the light a window meets is not.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bellwire.drivers import load_driver
from bellwire.drivers.instrument import Condition
from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
from bellwire.simulator_backend.devices.surroundings import Wiring
from bellwire.simulator_backend.lab_light import LabLight
from bellwire.simulator_backend.photons.description import read_optics

SIGMAS = 4.0
WINDOW_S = 0.4
PATIENCE_S = 30.0
COUPLING, EFFICIENCY, DARK_HZ, DEAD_S = 0.5, 0.8, 500.0, 30e-9
BRIGHTNESS = 1e6
JITTER_PS = 50.0 / 2.3548
GATE_NS = 2.0

SEEN = {"efficiency": EFFICIENCY, "dark_hz": DARK_HZ, "dead_ps": DEAD_S * 1e12}
PAIRS: dict[str, dict[str, Any]] = {
    "source": {
        "kind": "pair_source",
        "brightness_hz_per_mw": BRIGHTNESS,
        "pump_mw": 0.0,
        "best_oven_c": 40.0,
        "oven_fwhm_k": 2.0,
        "coupling": [COUPLING, COUPLING],
    },
    "one": {
        "kind": "detector",
        "channel": 1,
        "efficiency": EFFICIENCY,
        "dark_hz": DARK_HZ,
        "dead_ps": DEAD_S * 1e12,
    },
    "two": {
        "kind": "detector",
        "channel": 2,
        "efficiency": EFFICIENCY,
        "dark_hz": DARK_HZ,
        "dead_ps": DEAD_S * 1e12,
    },
}
PAIR_WIRES = (("source.signal", "one"), ("source.idler", "two"))
PERIOD_PS, RMS_PS, PAIRS_PER_PULSE = 13_000, 15.0, 0.002
DIP: dict[str, dict[str, Any]] = {
    "source": {
        "kind": "pair_source",
        "brightness_hz_per_mw": BRIGHTNESS,
        "pump_mw": PAIRS_PER_PULSE / (BRIGHTNESS * PERIOD_PS * 1e-12),
        "period_ps": PERIOD_PS,
        "photon_rms_ps": RMS_PS,
        "coupling": [1.0, 1.0],
    },
    "still": {"kind": "delay_line", "position_ps": 10.0, "insertion_loss_db": 0.0},
    "line": {"kind": "delay_line", "position_ps": 0.0, "insertion_loss_db": 0.0},
    "splitter": {"kind": "beam_splitter"},
    "one": {"kind": "detector", "channel": 1, "efficiency": 0.5, "dark_hz": 0.0, "dead_ps": 0.0},
    "two": {"kind": "detector", "channel": 2, "efficiency": 0.5, "dark_hz": 0.0, "dead_ps": 0.0},
}
DIP_WIRES = (
    ("source.signal", "still"),
    ("still", "splitter.a"),
    ("source.idler", "line"),
    ("line", "splitter.b"),
    ("splitter.c", "one"),
    ("splitter.d", "two"),
)


class Bench:
    """One light, and drivers at emulated instruments around it."""

    def __init__(self, light: LabLight, folder: Path, stack: AsyncExitStack) -> None:
        self.light = light
        self._folder = folder
        self._stack = stack

    async def put(self, name: str, driver: str, wiring: dict[str, str], address: str = "") -> Any:
        order = EmulatorOrder(
            name=name,
            address=address or str(self._folder / name),
            device_dir=self._folder,
            wiring=Wiring(self.light, wiring, self._elsewhere()),
            pace=0.0,
        )
        emulator = make_emulator(driver, order)
        await emulator.start()
        self._stack.push_async_callback(emulator.stop)
        place = address.replace(":0", f":{getattr(emulator.lines[0], 'port', 0)}") or str(self._folder / name)
        one: Any = load_driver(driver, where="test")
        made = one(name, place, probe_s=60.0)
        task = asyncio.get_running_loop().create_task(made.supervise())
        self._stack.push_async_callback(asyncio.gather, task, return_exceptions=True)
        self._stack.callback(task.cancel)
        await made.wait_for(Condition.READY, PATIENCE_S)
        return emulator, made

    def _elsewhere(self) -> Any:
        from bellwire.simulator_backend.devices.surroundings import Alone

        return Alone()


@asynccontextmanager
async def bench(
    folder: Path, components: dict[str, dict[str, Any]], wires: tuple[tuple[str, str], ...], seed: int
) -> AsyncIterator[Bench]:
    found, problems = read_optics(components, wires, {})
    assert not problems
    assert found is not None
    async with AsyncExitStack() as stack:
        yield Bench(LabLight(found, seed, lambda link, **_: None), folder, stack)


def near(counts: float, expected: float) -> bool:
    """Within 4 standard errors of a count."""
    return abs(counts - expected) < SIGMAS * math.sqrt(expected) + 1


def seen_hz(rate_hz: float) -> float:
    """Rate behind a dead time that is not prolonged."""
    return rate_hz / (1.0 + rate_hz * DEAD_S)


async def test_singles_coincidences_and_car_follow_pump_and_oven(tmp_path: Path) -> None:
    async with bench(tmp_path, PAIRS, PAIR_WIRES, 5) as table:
        _, tagger = await table.put("tagger", "idq_id900", {"1": "one", "2": "two"}, "tcp://127.0.0.1:0")
        _, pump = await table.put("pump", "nkt_basik", {"pump_mw": "source.pump_mw"})
        oven_emulator, oven = await table.put("oven", "thorlabs_tc200", {"temperature_c": "source.oven_c"})
        await tagger.set_window_ns(GATE_NS)
        await oven.set_heating(True)
        await pump.set_emission(True)
        for pump_mw, oven_c in ((0.05, 40.0), (0.1, 40.0), (0.2, 40.0), (0.2, 41.0), (0.2, 45.0)):
            await pump.set_power_mw(pump_mw)
            await oven.set_temperature_c(oven_c)
            oven_emulator.model.temperature_c = oven_c  # how an oven warms is another test
            await asyncio.sleep(0.3)
            matched = 2.0 * 1.39155738 * (await oven.read_temperature_c() - 40.0) / 2.0
            share = 1.0 if matched == 0.0 else (math.sin(matched) / matched) ** 2
            pairs_hz = BRIGHTNESS * await pump.read_power_mw() * share
            arm = COUPLING * EFFICIENCY
            single_hz = pairs_hz * arm + DARK_HZ
            kept = seen_hz(single_hz) / single_hz
            within = math.erf(GATE_NS * 1000 / 2 / (2.0 * JITTER_PS))
            true_hz = pairs_hz * arm * arm * kept * kept * within
            accidental_hz = seen_hz(single_hz) ** 2 * GATE_NS * 1e-9
            singles = (await tagger.count(WINDOW_S)).singles
            assert near(singles[1], seen_hz(single_hz) * WINDOW_S), (pump_mw, oven_c, singles)
            assert near(singles[2], seen_hz(single_hz) * WINDOW_S), (pump_mw, oven_c, singles)
            both = (await tagger.count_coincidences(WINDOW_S))[1, 2]
            assert near(both, (true_hz + accidental_hz) * WINDOW_S), (pump_mw, oven_c, both)
            await tagger.set_delay_ps(2, 1_000_000)
            apart = (await tagger.count_coincidences(2 * WINDOW_S))[1, 2]
            await tagger.set_delay_ps(2, 0)
            assert near(apart, accidental_hz * 2 * WINDOW_S), (pump_mw, oven_c, apart)
            # Heralding efficiency and CAR as a procedure would state them, from what the instruments showed.
            heralding = (both - apart / 2) / singles[1]
            error = math.sqrt(both) / singles[1]
            assert abs(heralding - true_hz / seen_hz(single_hz)) < SIGMAS * error + 1e-3
            if apart > 20:
                car, expected = (both - apart / 2) / (apart / 2), true_hz / accidental_hz
                assert abs(car / expected - 1) < SIGMAS * math.sqrt(1 / both + 1 / apart)


async def test_the_dip_lies_where_the_delay_line_says_and_is_as_deep_as_it_must_be(tmp_path: Path) -> None:
    async with bench(tmp_path, DIP, DIP_WIRES, 6) as table:
        _, tagger = await table.put("tagger", "idq_id900", {"1": "one", "2": "two"}, "tcp://127.0.0.1:0")
        _, line = await table.put("line", "oz_odl650", {"delay_ps": "line.position_ps"})
        await tagger.set_window_ns(GATE_NS)
        await line.home()
        pulses_hz = 1e12 / PERIOD_PS
        for delay_ps in (0.5, 10.0, 20.0, 40.0, 110.0):
            await line.set_delay_ps(delay_ps)
            await asyncio.sleep(0.1)
            apart_ps = await line.read_delay_ps() - 10.0
            visibility = math.exp(-(apart_ps**2) / (4 * RMS_PS**2))
            both = (await tagger.count_coincidences(WINDOW_S))[1, 2]
            # One pair, both photons seen, at different outputs; two pairs in a pulse add a little.
            one_pair = PAIRS_PER_PULSE * 0.25 * (1 - visibility) / 2
            expected = pulses_hz * one_pair * WINDOW_S
            two_pairs = pulses_hz * PAIRS_PER_PULSE**2 * WINDOW_S
            assert both < expected + SIGMAS * math.sqrt(expected + two_pairs) + two_pairs, (delay_ps, both)
            assert both > expected * (1 - 4 * PAIRS_PER_PULSE) - SIGMAS * math.sqrt(expected + 1), (
                delay_ps,
                both,
            )


@pytest.mark.parametrize("bias_ua", [18.0, 14.0, 8.0])
async def test_detectors_show_what_their_bias_lets_them_see(tmp_path: Path, bias_ua: float) -> None:
    lamp = {
        "lamp": {"kind": "laser", "power_w": 4e-15},
        "one": {"kind": "detector", "channel": 1, "efficiency": EFFICIENCY, "dark_hz": 300.0, "dead_ps": 0.0},
    }
    async with bench(tmp_path, lamp, (("lamp", "one"),), 7) as table:
        wiring = {
            "1": "one",
            "bias_ua.1": "one.bias_ua",
            "rate_hz.1": "one.count_hz",
            "latched.1": "one.latched",
        }
        _, detectors = await table.put("detectors", "single_quantum_websq", wiring, "tcp://127.0.0.1:0")
        await detectors.set_bias_ua(1, bias_ua)
        await detectors.set_enabled(True)
        await detectors.read_rates_hz()
        rates = [(await detectors.read_rates_hz())[1] for _ in range(5)]
        photons_hz = 4e-15 * 1550e-9 / (6.62607015e-34 * 299_792_458)
        plateau = (1 + math.erf((bias_ua / 20.0 - 0.7) / 0.1)) / 2
        dark_hz = 300.0 * math.exp((bias_ua / 20.0 - 0.9) / 0.03)
        expected_hz = photons_hz * EFFICIENCY * plateau + dark_hz
        counted_s = 5 * 0.1
        assert near(sum(rates) / 5 * counted_s, expected_hz * counted_s), (rates, expected_hz)

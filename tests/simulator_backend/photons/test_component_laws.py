"""Laws of components against published numbers and closed forms written here anew."""

from math import cos, exp, pi, radians, sin

import numpy as np
import pytest

from bellwire.core.bell import pauli_channel
from bellwire.core.errors import ConfigError
from bellwire.simulator_backend.photons.converter import Converter
from bellwire.simulator_backend.photons.elements import Drift
from bellwire.simulator_backend.photons.jones import (
    BELL_AMPLITUDES,
    STATES,
    pauli_weights,
    rotation,
    waveplate,
)
from bellwire.simulator_backend.photons.laws import (
    SINC_HALF_RAD,
    counted_rate_hz,
    packet_overlap,
    phase_matching,
    photon_power_w,
    photon_rate_hz,
)
from bellwire.simulator_backend.photons.passive import (
    BeamSplitter,
    DelayLine,
    Fibre,
    Filter,
    Paddles,
    PolarisingSplitter,
    Switch,
)
from bellwire.simulator_backend.photons.sinks import Detector
from bellwire.simulator_backend.photons.sources import PairSource


def settings(part, **turned):
    return {knob.name: knob.start for knob in part.knobs()} | turned


def power(passage, letter="H"):
    return float(np.sum(np.abs(passage.jones @ STATES[letter]) ** 2))


def test_phase_matching_is_half_at_half_its_width_and_zero_where_sinc_is():
    assert phase_matching(0.0, 2.0) == 1.0
    assert phase_matching(1.0, 2.0) == pytest.approx(0.5, abs=1e-12)
    assert phase_matching(-1.0, 2.0) == pytest.approx(0.5, abs=1e-12)
    assert phase_matching(pi / SINC_HALF_RAD, 2.0) == pytest.approx(0.0, abs=1e-30)


def test_a_pair_source_gives_pairs_in_proportion_to_pump_and_phase_matching():
    source = PairSource(brightness_hz_per_mw=2e6, best_oven_c=41.3, oven_fwhm_k=1.2, period_ps=10_000)
    rate = source.pair_rate_hz({"pump_mw": 3.0, "oven_c": 41.3})
    assert rate == pytest.approx(6e6)
    assert source.pairs_per_pulse({"pump_mw": 3.0, "oven_c": 41.3}) == pytest.approx(0.06)
    assert source.pair_rate_hz({"pump_mw": 3.0, "oven_c": 41.9}) == pytest.approx(3e6)


def test_a_converter_has_the_published_efficiency_at_its_best_and_converts_back_beyond():
    # Strassmann 2019: 67 % inside, 46 % of the device at 250 mW.
    converter = Converter()
    assert converter.efficiency(settings(converter)) == pytest.approx(0.46, abs=0.005)
    quarter = settings(converter, pump_mw=converter.best_pump_mw / 4.0)
    assert converter.efficiency(quarter) == pytest.approx(0.67 * 0.69 * sin(pi / 4.0) ** 2)
    assert converter.efficiency(settings(converter, pump_mw=1000.0)) == pytest.approx(0.0, abs=1e-12)
    assert converter.efficiency(settings(converter, oven_c=50.75)) == pytest.approx(0.67 * 0.69 / 2.0)
    assert converter.efficiency(settings(converter, filter_nm=1541.25)) == pytest.approx(0.67 * 0.69 / 2.0)
    assert converter.noise_rate_hz(settings(converter, pump_mw=100.0)) == pytest.approx(10.0 + 2.0 * 100.0)


def test_a_converter_keeps_the_distance_of_colours_in_frequency():
    converter = Converter(input_nm=580.0, output_nm=1541.0, filter_fwhm_nm=50.0)
    (right,) = converter.passages("in", 580.0, settings(converter), Drift())
    (other,) = converter.passages("in", 580.1, settings(converter), Drift())
    assert right.wavelength_nm == pytest.approx(1541.0)
    light = 299_792.458
    apart_thz = light / 580.0 - light / 580.1
    assert light / right.wavelength_nm - light / other.wavelength_nm == pytest.approx(apart_thz)
    assert power(other) < power(right)
    # Red light has less energy than the pump photon would take off.
    assert converter.passages("in", 2_000.0, settings(converter), Drift()) == ()


def test_fibre_takes_what_its_length_says_and_grows_37_ps_per_km_and_kelvin():
    fibre = Fibre(length_km=50.0, insertion_loss_db=1.0)
    (passage,) = fibre.passages("in", 1550.0, {}, Drift())
    assert power(passage) == pytest.approx(10 ** (-11.0 / 10.0))
    assert passage.delay_ps == 250_000_000
    (warm,) = fibre.passages("in", 1550.0, {}, Drift(warming_k=0.2))
    assert warm.delay_ps - passage.delay_ps == pytest.approx(37.0 * 50.0 * 0.2)


def test_a_delay_line_delays_and_a_filter_passes_half_at_half_its_width():
    line, band = DelayLine(insertion_loss_db=0.0), Filter(insertion_loss_db=0.0, fwhm_nm=1.0)
    (passage,) = line.passages("in", 1550.0, settings(line, position_ps=123.4), Drift())
    assert (passage.delay_ps, power(passage)) == (123.4, pytest.approx(1.0))
    (passage,) = band.passages("in", 1550.5, settings(band), Drift())
    assert power(passage) == pytest.approx(0.5)


def test_a_switch_sends_light_where_it_is_told_and_leaks_beside():
    switch = Switch(ports=3, insertion_loss_db=0.0, crosstalk_db=40.0)
    passages = switch.passages("in_1", 1550.0, settings(switch, route_1=2.0), Drift())
    assert {passage.output: power(passage) for passage in passages} == pytest.approx(
        {"out_2": 1.0, "out_1": 1e-4, "out_3": 1e-4}
    )
    assert switch.passages("in_1", 1550.0, settings(switch, route_1=0.0), Drift()) == ()


def test_waveplates_are_those_of_the_textbook():
    half, quarter = waveplate(0.5, 22.5), waveplate(0.25, 45.0)
    assert abs(STATES["D"].conj() @ half @ STATES["H"]) == pytest.approx(1.0)
    circular = quarter @ STATES["H"]
    assert abs(STATES["R"].conj() @ circular) ** 2 == pytest.approx(1.0)
    for plate in (half, quarter):
        assert np.allclose(plate @ plate.conj().T, np.eye(2))


def test_three_paddles_undo_any_turn_of_a_fibre():
    # Quarter, half, quarter wave reach all of SU(2): a coarse search over 0..170 degrees leaves little.
    rng = np.random.default_rng(4)
    paddles = Paddles(insertion_loss_db=0.0)
    angles = np.arange(0.0, 171.0, 10.0)
    table = {
        (a, b, c): paddles.passages(
            "in", 1550.0, {"angle_1_deg": a, "angle_2_deg": b, "angle_3_deg": c}, Drift()
        )[0].jones
        for a in angles
        for b in angles
        for c in angles
    }
    turns = np.array(list(table.values()))
    for _ in range(5):
        fibre = rotation(rng.normal(0.0, 2.0, 3))
        best = np.max(np.abs(np.einsum("kab,ba->k", turns, fibre)) / 2.0)
        assert best**2 > 0.97


def test_splitters_are_unitary_where_they_lose_nothing():
    splitter = BeamSplitter(transmittance=0.3)
    matrix = np.zeros((4, 4), dtype=complex)
    for column, port in enumerate(("a", "b")):
        for row, passage in enumerate(splitter.passages(port, 1550.0, {}, Drift())):
            matrix[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = passage.jones
    assert np.allclose(matrix @ matrix.conj().T, np.eye(4))
    polarising = PolarisingSplitter(extinction=0.01)
    h, v = polarising.passages("in", 1550.0, {}, Drift())
    assert power(h, "H") == pytest.approx(0.99)
    assert power(h, "V") == pytest.approx(0.01)
    assert power(v, "D") == pytest.approx(0.5)
    assert np.allclose(h.jones.conj().T @ h.jones + v.jones.conj().T @ v.jones, np.eye(2))


@pytest.mark.parametrize(("ratio", "visibility"), [(0.5, 0.93941306), (1.0, 0.77880078), (2.0, 0.36787944)])
def test_photon_overlap_has_the_published_values_against_delay(ratio, visibility):
    assert packet_overlap(ratio * 15.0, 15.0, 15.0, 1550.0, 1550.0) == pytest.approx(visibility, abs=1e-8)


def test_photon_overlap_of_unequal_packets_is_the_overlap_integral():
    # Explicit integral of two Gaussian amplitudes with their carriers.
    a, b, offset = 12.0, 20.0, 9.0
    t = np.linspace(-300.0, 300.0, 60_001)
    step = t[1] - t[0]
    detuning = 2.0 * pi * 299_792.458 * (1.0 / 1550.0 - 1.0 / 1550.05)
    one = (2.0 * pi * a**2) ** -0.25 * np.exp(-(t**2) / (4.0 * a**2))
    other = (2.0 * pi * b**2) ** -0.25 * np.exp(-((t - offset) ** 2) / (4.0 * b**2) + 1j * detuning * t)
    integral = abs(np.sum(one * other) * step) ** 2
    assert packet_overlap(offset, a, b, 1550.0, 1550.05) == pytest.approx(integral, rel=1e-9)


def test_light_of_a_nanowatt_at_1550_nm_is_7_8_billion_photons():
    assert photon_rate_hz(1e-9, 1550.0) == pytest.approx(7.803e9, rel=1e-3)
    assert photon_power_w(photon_rate_hz(3e-7, 780.0), 780.0) == pytest.approx(3e-7)


def test_detectors_have_a_plateau_and_darks_that_grow_with_bias():
    detector = Detector(channel=0, efficiency=0.9, dark_hz=100.0)
    usual = {"bias_ua": 18.0}
    assert detector.present_efficiency(usual) == pytest.approx(0.9, rel=0.01)
    assert detector.present_efficiency({"bias_ua": 14.0}) == pytest.approx(0.45)
    assert detector.present_efficiency({"bias_ua": 19.0}) / detector.present_efficiency(usual) < 1.01
    assert detector.present_dark_hz(usual) == pytest.approx(100.0)
    assert detector.present_dark_hz({"bias_ua": 18.6}) == pytest.approx(100.0 * exp(1.0))
    assert detector.present_dark_hz({"bias_ua": 0.0}) == 0.0


def test_counted_rates_are_the_renewal_formulas():
    assert counted_rate_hz(0.0, 1.0, 1e6, 100_000.0, 0.0) == pytest.approx(1e6 / 1.1)
    # One click in m + 1/p pulses, m of which are blind.
    assert counted_rate_hz(0.2, 10_000.0, 0.0, 45_000.0, 0.0) == pytest.approx(1e8 / (4 + 5.0))


def test_pauli_shares_of_a_turn_are_the_fidelities_of_the_turned_bell_state():
    turn = rotation(np.array([0.3, -0.5, 0.9]))
    turned = np.kron(turn, np.eye(2)) @ BELL_AMPLITUDES[0].ravel()
    expected = [abs(psi.ravel().conj() @ turned) ** 2 for psi in BELL_AMPLITUDES]
    assert pauli_channel((1.0, 0.0, 0.0, 0.0), pauli_weights(turn)) == pytest.approx(expected)
    assert sum(expected) == pytest.approx(1.0)


def test_a_turn_about_one_axis_is_a_rotation_of_the_sphere():
    turn = rotation(np.array([0.0, 0.0, radians(40.0)]))
    assert abs(STATES["H"].conj() @ turn @ STATES["H"]) ** 2 == pytest.approx(cos(radians(20.0)) ** 2)
    assert abs(STATES["R"].conj() @ turn @ STATES["R"]) == pytest.approx(1.0)


def test_components_refuse_what_no_component_has():
    for make in (
        lambda: PairSource(schmidt_number=0.5),
        lambda: PairSource(entangled="phi_plus", intrinsic_error=0.6),
        lambda: PairSource(polarisations=("H", "Q")),
        lambda: Detector(channel=200),
        lambda: BeamSplitter(transmittance=1.2),
        lambda: Switch(ports=2, routes=(3,)),
        lambda: Fibre(wander_rad_per_root_s=-1.0),
    ):
        with pytest.raises(ConfigError):
            make()


def test_the_half_width_of_sinc_is_where_it_is_a_half():
    assert (sin(SINC_HALF_RAD) / SINC_HALF_RAD) ** 2 == pytest.approx(0.5, abs=1e-12)

"""`bellwire experiment` on instruments: a lab that is up, and labs that are brought up for it.

The lab is a converted photon into a heralded memory, its pump set by its own instrument, so that an
experiment may scan it. Success follows sin^2(pi/2 sqrt(P/P_max)) (Roussev et al., Optics Letters 29, 1518
(2004)).
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, pi, sin, sqrt
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bellwire.cli.exits import INTERRUPTED, WRONG_INPUT
from bellwire.runtime.control import ask
from tests.cli.experimenting import app, bellwire
from tests.cli.processes import PROGRAM
from tests.hosts.live import ROOT, family, interrupt_group, lab_file, leftovers, still_running, wait_until

PUMP = "device:alice-pump.power_set_mw"
FULL_MW, LOW_MW = 250.0, 40.0


def conversion(power_mw: float) -> float:
    """Relative to full conversion at 250 mW."""
    return sin(pi / 2 * sqrt(power_mw / FULL_MW)) ** 2


def keep_for_ever(sections: dict[str, Any]) -> None:
    """A busy machine's delays must not show in what the light makes."""
    for node in sections["nodes"].values():
        node["memory"] |= {"t1_s": None, "t2_s": None}


def pump_by_hand(sections: dict[str, Any]) -> None:
    """The pump is kept by its setting, and no composite; the oven stands as the light has it."""
    alice = sections["nodes"]["alice"]
    alice["composites"] = {}
    keep_for_ever(sections)
    del alice["equipment"]["oven"]
    alice["equipment"]["pump"]["settings"] = {"power_set_mw": FULL_MW, "emission": True}
    sections["links"]["alice-bob"]["attempt_period_us"] = 2000  # a busy machine must not be what limits it


@dataclass(frozen=True, slots=True)
class Standing:
    """A lab that is up."""

    lab: Path
    state: Path

    def arguments(self, out: Path, *more: object) -> list[str]:
        scan = ("--set", f"{PUMP}={FULL_MW},{LOW_MW}", "--mode", "live")
        named = ("--state", self.state, "--out", out)
        return ["experiment", str(self.lab), *map(str, (*scan, *named, *more))]

    def pump_mw(self) -> float:
        """What the instrument reads."""
        found = asyncio.run(ask(self.state, "alice", "device_read", device="pump", parameter="power_set_mw"))
        return float(found["value"])


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """`bellwire up` in the background, nothing submitted."""
    folder = tmp_path_factory.mktemp("standing")
    lab = lab_file(folder, "optics_sender_receiver", pump_by_hand)
    arguments = ["up", str(lab), "--state", str(folder / "state"), "--no-submit", "--json"]
    said = folder / "up.err"
    with said.open("wb") as errors:
        process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=errors)
    try:
        wait_until(lambda: b"is up, recording to" in said.read_bytes(), "the lab is up")
        yield Standing(lab, folder / "state")
    finally:
        process.terminate()
        process.wait(timeout=60)


def start(arguments: list[str], errors: Path) -> "subprocess.Popen[bytes]":
    """The command as a process group of its own, as a terminal starts it."""
    program = [sys.executable, "-c", "from tests.cli.experimenting import app; app()"]
    with errors.open("wb") as stderr:
        return subprocess.Popen(
            [*program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=ROOT,
            start_new_session=True,
        )


def test_a_live_scan_is_interrupted_restores_its_instrument_and_goes_on(
    standing: Standing, tmp_path: Path
) -> None:
    """The link by itself at 250 and at 40 mW; the command is stopped while the pump stands at 40 mW."""
    out, errors = tmp_path / "out", tmp_path / "errors"
    arguments = standing.arguments(out, "--duration", 3, "--repetitions", 1, "--swap", "off")
    assert standing.pump_mw() == FULL_MW
    process = start(arguments, errors)
    try:
        wait_until(lambda: standing.pump_mw() == LOW_MW, "the second setting")
        members = family(process)
        interrupt_group(process)
        assert process.wait(timeout=60) == INTERRUPTED
    finally:
        process.kill()
        process.wait()
    assert "1 of 2 repetitions are kept; the same command goes on" in errors.read_text()
    assert still_running(members) == []
    assert standing.pump_mw() == FULL_MW
    document = json.loads((out / "experiment.json").read_text())
    (noted,) = document["sittings"][0]["labs"]
    (restored,) = noted["restored"]
    assert (restored["before"], restored["found"], restored["confirmed"]) == (FULL_MW, FULL_MW, True)
    assert noted["differences"] == []
    assert not (out / "restore.json").exists()

    resumed = CliRunner().invoke(app, arguments)
    assert resumed.exit_code == 0, resumed.output
    assert "repetitions: 2, of which 1 were there" in resumed.output
    assert f"restored: {PUMP} = {FULL_MW}, as before" in resumed.output
    assert standing.pump_mw() == FULL_MW
    document = json.loads((out / "experiment.json").read_text())
    assert [one["measured"] for one in document["sittings"]] == [1, 1]
    run = Path(document["sittings"][1]["labs"][0]["run"])
    assert (run / "configuration.json").exists()
    full, low = document["points"]
    assert [full["values"], low["values"]] == [[FULL_MW], [LOW_MW]]
    assert [full["target"], low["target"]] == ["alice-bob", "alice-bob"]
    # About 160 and 55 pairs: 4 errors of the ratio are 0.22; a memory that waits for answers takes from the
    # faster rate what a busy machine takes for them. Without any effect the ratio would be 1.
    ratio = low["rate_hz"]["value"] / full["rate_hz"]["value"]
    assert conversion(LOW_MW) - 0.22 < ratio < conversion(LOW_MW) + 0.35
    for point in (low, full):
        assert point["frame_errors"] == 0
        assert point["fidelity_true"]["value"] == pytest.approx(0.96, abs=0.01)


def test_an_instrument_that_another_holds_and_a_key_of_the_file_are_refused_on_a_lab_that_is_up(
    standing: Standing, tmp_path: Path
) -> None:
    key = "links.alice-bob.lanes=2,4"
    result = CliRunner().invoke(app, [*standing.arguments(tmp_path / "a"), "--set", key])
    assert result.exit_code == WRONG_INPUT
    assert "a lab that is up has read before" in result.output
    held = subprocess.run(
        [sys.executable, "-c", HOLD, str(standing.state)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "token" in held.stdout
    result = CliRunner().invoke(app, standing.arguments(tmp_path / "b", "--pairs", 1))
    assert result.exit_code == WRONG_INPUT
    assert "held by a calibration" in result.output.splitlines()[-1]
    assert standing.pump_mw() == FULL_MW


HOLD = """
import asyncio, sys
from pathlib import Path
from bellwire.runtime.control import ask
lease = dict(device="pump", holder="a calibration", for_s=9)
print(asyncio.run(ask(Path(sys.argv[1]), "alice", "device_acquire", **lease)))
"""


def test_nobody_at_home_is_one_line(tmp_path: Path) -> None:
    result = bellwire(
        "two_node_link", "--mode", "live", "--state", tmp_path / "none", "--out", tmp_path / "out"
    )
    assert result.exit_code == WRONG_INPUT
    assert "does not answer" in result.output.splitlines()[-1]


def test_an_emulated_lab_is_brought_up_for_a_scan_and_taken_down(tmp_path: Path) -> None:
    lab = lab_file(tmp_path, "optics_sender_receiver", pump_by_hand)
    out, state = tmp_path / "out", tmp_path / "state"
    arguments = ("--set", f"{PUMP}={LOW_MW}", "--mode", "emulated", "--repetitions", 1, "--seed", 11)
    result = bellwire(lab, *arguments, "--pairs", 5, "--state", state, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (noted,) = document["sittings"][0]["labs"]
    assert noted["seed"] == 11
    assert (out / noted["run"] / "agents" / "alice").is_dir()
    assert noted["instruments_at_start"]["alice-pump"]["parameters"]["power_set_mw"]["value"] == FULL_MW
    assert noted["values_before"] == {PUMP: FULL_MW}
    assert noted["restored"][0]["confirmed"]
    assert noted["differences"] == []
    (point,) = document["points"]
    assert (point["pairs"], point["frame_errors"]) == (5, 0)
    assert point["fidelity_true"]["value"] == pytest.approx(0.95, abs=0.03)
    assert leftovers(state) == []


@pytest.mark.slow
def test_an_emulated_lab_is_brought_up_anew_for_each_value_of_the_file(tmp_path: Path) -> None:
    """Fibre of 10 and 60 km (0.2 dB/km): 10 dB less light, 80 and 8 pairs a second by 24 pairs each. The
    ratio of two such rates is below a quarter of the expected one with a probability of 1e-6."""
    lab = lab_file(tmp_path, "optics_sender_receiver", pump_by_hand)
    out, state = tmp_path / "out", tmp_path / "state"
    arguments = ("--set", "optics.components.fibre.length_km=10,60", "--mode", "emulated", "--swap", "off")
    result = bellwire(
        lab, *arguments, "--pairs", 24, "--repetitions", 1, "--state", state, "--out", out, "--json"
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    labs = document["sittings"][0]["labs"]
    assert [one["values"] for one in labs] == [[10], [60]]
    assert len({one["run"] for one in labs}) == 2
    near, far = (one["rate_hz"]["value"] for one in document["points"])
    assert near > 2.5 * far
    assert leftovers(state) == []


@pytest.mark.slow
def test_a_delay_line_takes_the_photons_apart(tmp_path: Path) -> None:
    """Two photons of lifetime t, apart by d, meet with the visibility exp(-d/t) of what they have together
    (two-photon interference of exponential wave packets; Legero et al., Applied Physics B 77, 797 (2003)),
    and the part of the fidelity above one half follows it. The World's fidelity of a kind of herald has no
    chance in it; darks and the finite window are left."""
    lab = lab_file(tmp_path, "optics_double_click", keep_for_ever)
    out, state, key = tmp_path / "out", tmp_path / "state", "device:middle-delay.delay_ps"
    arguments = ("--set", f"{key}=20,320,620", "--mode", "emulated", "--swap", "off", "--random-order")
    result = bellwire(
        lab, *arguments, "--pairs", 40, "--repetitions", 1, "--state", state, "--out", out, "--json"
    )
    assert result.exit_code == 0, result.output
    together, *apart = json.loads(result.stdout)["points"]
    visible = together["fidelity_true"]["value"] - 0.5
    for point in apart:
        expected = visible * exp(-(point["values"][0] - 20.0) / 2000.0)
        assert point["fidelity_true"]["value"] - 0.5 == pytest.approx(expected, abs=0.012)
        # What the network believes knows nothing of it, as no test rounds are made.
        assert point["fidelity"]["value"] == pytest.approx(together["fidelity"]["value"], abs=0.005)

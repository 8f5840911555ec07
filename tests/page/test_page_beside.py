"""`bellwire up --page` and `bellwire serve`: the page beside a lab that is up, with the real commands."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx

from bellwire.labs.free_ports import on_free_ports
from tests.cli.processes import PROGRAM, bellwire
from tests.northbound.serving import LABS, PATIENCE_S, until

LINE = b"the live page is at "


def test_one_command_brings_a_lab_up_with_pairs_flowing_and_its_page_open_and_ends_both(
    tmp_path: Path,
) -> None:
    file, errors = tmp_path / "lab.yaml", tmp_path / "up.err"
    file.write_text(
        on_free_ports((LABS / "two_node_link.yaml").read_text(encoding="utf-8")), encoding="utf-8"
    )
    arguments = ["up", str(file), "--state", str(tmp_path / "state"), "--page", "--page-port", "0", "--json"]
    with errors.open("wb") as stderr:
        lab = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=stderr)

    def said() -> Iterator[bool]:
        while True:
            assert lab.poll() is None, errors.read_bytes()
            yield LINE in errors.read_bytes()

    try:
        until(said(), "the page is open")
        url = errors.read_bytes().split(LINE)[1].split()[0].decode()
        with httpx.Client(base_url=url, timeout=30) as browser:

            def flowing() -> Iterator[bool]:
                while True:
                    requests = browser.get("/v1/requests").json()["items"]
                    yield any(
                        one["request_id"].startswith("standing-") and one["generated_count"] > 0
                        for one in requests
                    )

            until(flowing(), "pairs flow")
            page = browser.get("/")
            assert page.status_code == 200
            assert "two_node_link · bellwire" in page.text
            assert "default-src 'self'" in page.headers["content-security-policy"]
        lab.send_signal(signal.SIGINT)
        lab.wait(timeout=PATIENCE_S)
        with httpx.Client(timeout=5) as gone:
            try:
                gone.get(url)
            except httpx.ConnectError:
                return
        raise AssertionError("the page is still served after its lab has ended")
    finally:
        if lab.poll() is None:
            lab.terminate()
        lab.wait(timeout=PATIENCE_S)


def test_a_standing_request_and_an_end_are_refused_together() -> None:
    done = bellwire("up", "two_node_link", "--page", "--once")
    assert done.returncode == 2
    assert "a standing request never ends" in done.stderr

"""Where the server listens, TLS, its end, and what it never writes down."""

import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme

from bellwire.client import Client, NotAnswered, Retries
from bellwire.core.errors import ConfigError
from bellwire.northbound.serving import Tls, listening
from tests.cli.processes import bellwire
from tests.northbound.serving import PATIENCE_S, RunningLab, served, token

ONCE = Retries(attempts=1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_streams_and_the_server_in_order(
    lab: RunningLab, tmp_path: Path, number: signal.Signals
) -> None:
    state = tmp_path / "state"
    with served(lab, "--open-on-loopback", state=state) as server:
        with server.call() as plain, plain.stream("GET", "/v1/notifications") as stream:
            told = stream.iter_bytes()
            next(told)
            server.process.send_signal(number)
            assert b"".join(told) == b""  # it ended whole: a cut stream would raise
        assert server.process.wait(timeout=PATIENCE_S) == 0
        said = server.log.read_text(encoding="utf-8")
        assert said.splitlines()[-1] == "stopped"
        assert "Traceback" not in said
    assert list((state / "northbound").glob("*-wal")) == []


def test_nothing_but_loopback_is_listened_at_without_tls(tmp_path: Path) -> None:
    tls = Tls(tmp_path / "c", tmp_path / "k")
    with pytest.raises(ConfigError, match="--certificate and --private-key"):
        listening("0.0.0.0", 0, None, open_on_loopback=False)
    with pytest.raises(ConfigError, match="--open-on-loopback"):
        listening("0.0.0.0", 0, tls, open_on_loopback=True)
    with pytest.raises(ConfigError, match="--host"):
        listening("no.such.host.invalid", 0, tls, open_on_loopback=False)
    with listening("127.0.0.1", 0, None, open_on_loopback=True) as one:
        port = one.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"):
            listening("127.0.0.1", port, None, open_on_loopback=False)


def test_what_the_command_cannot_do_it_says_in_one_line(lab: RunningLab, tmp_path: Path) -> None:
    place, state = str(lab.file), ("--state", str(tmp_path), "--port", "0")
    for options, told in (
        (("--certificate", "c.pem"), "go together"),
        (("--client-authorities", "c.pem"), "goes with --certificate"),
        (("--certificate", "none.pem", "--private-key", "none.pem"), "certificate or private key"),
    ):
        ended = bellwire("serve", place, *options, *state)
        assert ended.returncode == 2
        assert told in ended.stderr.splitlines()[-1]
        assert "Traceback" not in ended.stderr


def test_tls_with_and_without_certificates_of_clients(lab: RunningLab, tmp_path: Path) -> None:
    ours, strangers = trustme.CA(), trustme.CA()
    certificate, key, authority = (tmp_path / name for name in ("server.pem", "key.pem", "ca.pem"))
    made = ours.issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(str(certificate))
    made.private_key_pem.write_to_path(str(key))
    ours.cert_pem.write_to_path(str(authority))
    options = ("--certificate", str(certificate), "--private-key", str(key))
    state = tmp_path / "state"
    mine = token(state, "me", "viewer")
    trusting = ssl.create_default_context(cafile=str(authority))
    with served(lab, *options, state=state) as server:
        assert server.url.startswith("https://")
        with Client(server.url, mine, verify=trusting, retries=ONCE) as client:
            assert client.lab().name == "two_node_link"
        with Client(server.url, mine, retries=ONCE) as doubting, pytest.raises(NotAnswered, match="verify"):
            doubting.lab()
        old = ssl.create_default_context(cafile=str(authority))
        old.set_ciphers("ALL:@SECLEVEL=0")
        with httpx.Client(verify=trusting) as plain, pytest.raises(httpx.TransportError):
            plain.get(server.url.replace("https", "http"))
    with served(lab, *options, "--client-authorities", str(authority), state=state) as server:
        with Client(server.url, mine, verify=trusting, retries=ONCE) as bare, pytest.raises(NotAnswered):
            bare.lab()
        for authority_of_client, let_in in ((ours, True), (strangers, False)):
            shown = ssl.create_default_context(cafile=str(authority))
            authority_of_client.issue_cert("client@lab").configure_cert(shown)
            with Client(server.url, mine, verify=shown, retries=ONCE) as client:
                if let_in:
                    assert client.lab().name == "two_node_link"
                else:
                    with pytest.raises(NotAnswered):
                        client.lab()


def test_no_token_is_ever_written_to_the_log_or_the_state(lab: RunningLab, tmp_path: Path) -> None:
    state = tmp_path / "state"
    mine = token(state, "me", "operator")
    wrong = "bw_0123456789ab_" + "W" * 43
    with served(lab, state=state) as server:
        for one in (mine, wrong):
            with server.call(one) as plain:
                plain.get("/v1/lab")
                plain.post("/v1/requests", json={"target_nodes": ["alice", "bob"], "count": 1})
                plain.get("/v1/nowhere", params={"token": "in-a-query"})
    said = server.log.read_text(encoding="utf-8")
    assert "call_answered" in said
    kept = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    for secret in (mine.split("_", 2)[2], wrong.split("_", 2)[2], "in-a-query"):
        assert secret not in said
        assert secret.encode() not in kept


def test_help_does_not_need_the_packages_of_the_server() -> None:
    heavy = "fastapi uvicorn starlette limits httpx"
    script = (
        "import sys\n"
        "from bellwire.cli.main import app\n"
        "for wanted in (['--help'], ['serve', '--help'], ['tokens', '--help']):\n"
        "    try:\n"
        "        app(wanted)\n"
        "    except SystemExit as ended:\n"
        "        assert ended.code == 0\n"
        f"loaded = [name for name in {heavy.split()!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "--open-on-loopback" in ran.stdout

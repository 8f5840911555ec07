"""The conformance probe of the qkdsec toolkit judges the delivery of keys (ETSI GS QKD 014 V1.1.1)."""

import json
from pathlib import Path

import pytest

from bellwire.northbound.key_store import KeyStore
from tests.judges.conftest import Peer
from tests.northbound.key_server import key_server

pytestmark = pytest.mark.judge

WARNED = {"error_contract_404"}
"""The probe wants 404 for an unknown key; the specification has 400, 401 and 503 (5.3)."""


async def test_the_probe_fails_nothing_and_warns_of_one_thing_in_which_the_specification_differs(
    peer: Peer, tmp_path: Path
) -> None:
    keys = KeyStore(tmp_path)
    keys.add("alice", "bob", "run", bytes(index % 251 for index in range(4096)))
    with key_server(keys, always="alice") as address:
        report = json.loads(await peer("qkdsec_doctor.py", address, "bob"))
    keys.close()
    verdicts = {one["name"]: one["status"] for one in report["results"]}
    assert {name for name, verdict in verdicts.items() if verdict == "warn"} == WARNED
    assert {name for name, verdict in verdicts.items() if verdict not in ("pass", "warn")} == set()
    assert len(verdicts) == 10

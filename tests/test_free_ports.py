"""Ports that labs name, or get in tests, are none that a system gives to clients."""

import re
from pathlib import Path

import pytest

from bellwire.core.errors import ConfigError
from bellwire.drivers import cards
from bellwire.labs.free_ports import FIRST, LAST, free_ports, on_free_ports

LABS = sorted((Path(__file__).parents[1] / "lab_configs").glob("*.yaml"))
CLIENTS_FIRST = 32_768
"""Where Linux begins to take ports for clients (ip_local_port_range); other systems begin higher."""


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_a_shipped_lab_binds_no_port_that_a_client_may_have(path: Path) -> None:
    """Such a lab would not start once in a while, on a machine that opens many connections."""
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1:{1,2}(\d+)", path.read_text(encoding="utf-8"))]
    assert all(1024 <= port < CLIENTS_FIRST for port in ports)


def test_free_ports_are_different_and_out_of_the_way_of_clients() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert FIRST <= min(ports) <= max(ports) <= LAST < CLIENTS_FIRST


def test_every_port_of_a_lab_is_replaced_and_equal_ones_alike() -> None:
    text = "a: tcp://127.0.0.1:27001\nb: TCPIP::127.0.0.1::27002::SOCKET\nc: tcp://127.0.0.1:27001\n"
    found = re.findall(r"127\.0\.0\.1:{1,2}(\d+)", on_free_ports(text))
    assert found[0] == found[2] != found[1]
    assert not {"27001", "27002"} & set(found)


def test_every_way_to_write_a_port_is_known() -> None:
    """A form that is passed over stays on its fixed port, and two runs on one machine meet there."""
    text = """
        tcp://127.0.0.1:27001,127.0.0.1:27002
        TCPIP::127.0.0.1::27001::SOCKET
        TCPIP::127.0.0.1,27001::inst0::INSTR
        TCPIP::127.0.0.1::hislip0,27001::INSTR
        127.0.0.1:27001
    """
    moved = on_free_ports(text)
    assert "27001" not in moved
    assert "27002" not in moved
    assert re.sub(r"\b2\d{4}\b", "P", moved) == re.sub(r"\b2\d{4}\b", "P", text)


def test_a_second_port_of_an_instrument_is_free_with_its_first() -> None:
    """A chosen port whose neighbour is taken would let the instrument start with half of its ports."""
    above = {card.second_port_above for card in cards().values()} - {0}
    assert above
    ports = set(free_ports(200))
    assert all(port + distance not in ports for port in ports for distance in above)


def test_where_everything_is_taken_the_range_is_told() -> None:
    with pytest.raises(ConfigError, match=f"{FIRST}..{LAST} of 127.0.0.8"):
        free_ports(LAST - FIRST + 2, "127.0.0.8")

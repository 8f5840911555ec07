"""What people and programs may ask an agent about its equipment, over its control socket.

Owns the commands: list, read, write under a lease, acquire, renew, release, safe state. Refuses to move
anything without a lease in force; whoever only wants one write gets a lease for that one write.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.equipment import Equipment
from bellwire.drivers.readings import Reading
from bellwire.runtime.equipment import NodeEquipment

WRITE_LEASE_S = 10.0

T = TypeVar("T")

Command = Callable[[dict[str, Any]], Awaitable[Any]]


def equipment_commands(equipment: NodeEquipment) -> Mapping[str, Command]:
    """The commands of one agent's equipment; every refusal is a ConfigError or a DeviceFault, in words."""

    async def device_list(_fields: dict[str, Any]) -> list[dict[str, Any]]:
        return [described(name, driver) for name, driver in equipment.drivers.items()]

    async def device_read(fields: dict[str, Any]) -> dict[str, Any]:
        driver = equipment.driver(str(fields["device"]))
        return told(await _refused_in_words(driver.read_parameter(str(fields["parameter"]))))

    async def device_write(fields: dict[str, Any]) -> dict[str, Any] | None:
        """`token` of a lease, or `holder` for a lease that lasts for this one write."""
        driver = equipment.driver(str(fields["device"]))
        token = fields.get("token")
        if token is not None:
            return await _write(driver, fields, int(token))
        lease = _granted(driver, str(fields.get("holder", "somebody")), WRITE_LEASE_S)
        try:
            return await _write(driver, fields, lease["token"])
        finally:
            driver.leases.release(lease["token"])

    async def device_acquire(fields: dict[str, Any]) -> dict[str, Any]:
        return _granted(
            equipment.driver(str(fields["device"])), str(fields["holder"]), float(fields["for_s"])
        )

    async def device_renew(fields: dict[str, Any]) -> dict[str, Any]:
        driver = equipment.driver(str(fields["device"]))
        try:
            lease = driver.leases.renew(int(fields["token"]), float(fields["for_s"]))
        except LocalMisuse as problem:
            raise ConfigError(str(problem)) from problem
        return {"holder": lease.holder, "token": lease.token}

    async def device_release(fields: dict[str, Any]) -> None:
        equipment.driver(str(fields["device"])).leases.release(int(fields["token"]))

    async def device_safe(fields: dict[str, Any]) -> dict[str, str]:
        """Safety needs no lease."""
        driver = equipment.driver(str(fields["device"]))
        await driver.safe_state()
        return {"device": driver.name}

    return {
        "device_list": device_list,
        "device_read": device_read,
        "device_write": device_write,
        "device_acquire": device_acquire,
        "device_renew": device_renew,
        "device_release": device_release,
        "device_safe": device_safe,
    }


def described(name: str, driver: Equipment) -> dict[str, Any]:
    """An instrument with its state and its table of parameters."""
    lease = driver.leases.current
    return {
        "name": name,
        "full_name": driver.name,
        "model": driver.model,
        "condition": driver.state.condition.value,
        "reason": driver.state.reason,
        "held_by": None if lease is None else lease.holder,
        "parameters": [
            {
                "name": parameter.name,
                "meaning": parameter.meaning,
                "unit": parameter.unit,
                "kind": parameter.kind,
                "readable": parameter.read is not None,
                "settable": parameter.write is not None,
                "emits": parameter.emits,
                "low": parameter.low,
                "high": parameter.high,
                "choices": list(parameter.choices),
            }
            for parameter in driver.parameters
        ],
        "readings": [told(reading) for reading in driver.readings.values()],
    }


def told(reading: Reading) -> dict[str, Any]:
    """A reading as JSON."""
    return {
        "parameter": reading.parameter,
        "value": None if reading.value != reading.value else reading.value,  # NaN: it does not know
        "unit": reading.unit,
        "quality": reading.quality.value,
        "taken_at_ns": reading.taken_at_ns,
    }


async def _write(driver: Equipment, fields: dict[str, Any], token: int) -> dict[str, Any] | None:
    reading = await _refused_in_words(
        driver.write_parameter(str(fields["parameter"]), fields["value"], token=token)
    )
    return None if reading is None else told(reading)


def _granted(driver: Equipment, holder: str, for_s: float) -> dict[str, Any]:
    try:
        lease = driver.leases.grant(holder, for_s)
    except LocalMisuse as problem:
        raise ConfigError(str(problem)) from problem
    return {"holder": lease.holder, "token": lease.token}


async def _refused_in_words(work: Awaitable[T]) -> T:
    """What the caller got wrong (name, range, lease) is his error and not this agent's bug."""
    try:
        return await work
    except LocalMisuse as problem:
        raise ConfigError(str(problem)) from problem

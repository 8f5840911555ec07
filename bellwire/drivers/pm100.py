"""Driver of the Thorlabs optical power meters PM100D, PM100USB and PM400 (instruments.md section 5.8).

Owns the unit of a reading: the display may stand on dBm, so the unit is asked beside each power and never
changed. Wavelengths are checked against the limits of the sensor that is plugged in. Refuses old PM100
consoles, whose wavelengths are in metres. Sources: the maker's command reference, public drivers; never
checked on a physical instrument.
"""

from __future__ import annotations

import math
from typing import ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.addresses import stream
from bellwire.drivers.faults import DeviceError, LinkTimeout
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.scpi_instrument import ScpiInstrument
from bellwire.drivers.session import Transport

PORT = 5025
WAVELENGTH_NM = (185.0, 25_000.0)
AVERAGES = (1, 10_000)
ATTENUATION_DB = (-60.0, 60.0)
SAMPLE_S = 0.003
NO_NUMBER = 9.9e37
AUTO = "auto"
DECADES = tuple(map(str, range(6)))
ZERO_POLL_S = 0.1
ZERO_POLLS_MAX = 300


class Pm100(ScpiInstrument):
    """Thorlabs PM100D: USBTMC on hardware; TCP, VXI-11 and HiSLIP where a server stands between."""

    model = "PM100D"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="wavelength_nm",
            meaning="wavelength for which the sensor's response is corrected",
            unit="nm",
            read="read_wavelength_nm",
            write="set_wavelength_nm",
            low=WAVELENGTH_NM[0],
            high=WAVELENGTH_NM[1],
            tolerance=0.01,
        ),
        Parameter(
            name="averages",
            meaning="samples of 3 ms in one reading",
            kind="integer",
            read="read_averages",
            write="set_averages",
            low=AVERAGES[0],
            high=AVERAGES[1],
        ),
        Parameter(
            name="attenuation_db",
            meaning="loss before the sensor, added to the reading",
            unit="dB",
            read="read_attenuation_db",
            write="set_attenuation_db",
            low=ATTENUATION_DB[0],
            high=ATTENUATION_DB[1],
            tolerance=0.001,
        ),
        Parameter(
            name="range",
            meaning="auto, or a fixed range so many decades below the largest",
            kind="choice",
            read="read_range",
            write="set_range",
            choices=(AUTO, *DECADES),
        ),
        Parameter(name="range_w", meaning="full scale of the present range", unit="W", read="read_range_w"),
        Parameter(name="zero_w", meaning="what was found by the last zeroing", unit="W", read="read_zero_w"),
        Parameter(name="power_w", meaning="optical power", unit="W", read="read_power_w"),
    )

    def _transport(self) -> Transport:
        return stream(self.name, self.address, port=PORT)

    async def _identify(self) -> Identity:
        _, model, serial_number, firmware = await self._identity_fields()
        return Identity(model, serial_number, firmware)

    async def safe_state(self) -> None:
        """A meter has no output; that it still is the right one is confirmed."""
        await self._checked_identity()

    # -- power meter ----------------------------------------------------------------------------------------

    async def set_wavelength_nm(self, wavelength_nm: float) -> None:
        """Set the wavelength of the light, within the limits of the sensor."""
        least, most = await self.read_wavelength_limits_nm()
        self._in_range("wavelength", wavelength_nm, (least, most), "nm")
        await self._set(f"SENS:CORR:WAV {wavelength_nm:.3f}")
        self._close_to("wavelength", wavelength_nm, await self.read_wavelength_nm(), 0.01)

    async def read_wavelength_nm(self) -> float:
        """Wavelength for which readings are corrected, in nm."""
        return await self._number("SENS:CORR:WAV?")

    async def read_wavelength_limits_nm(self) -> tuple[float, float]:
        """Least and greatest wavelength of the sensor in nm."""
        return await self._number("SENS:CORR:WAV? MIN"), await self._number("SENS:CORR:WAV? MAX")

    async def read_power_w(self) -> float:
        """Take a reading, in W; below zero when there is less light than at the zeroing.

        Raises DeviceError when the power is over the range.
        """
        unit = (await self._ask("SENS:POW:UNIT?")).upper()
        if unit not in {"W", "DBM"}:
            raise self._broken(f"SENS:POW:UNIT? answered {unit!r}, neither W nor DBM")
        timeout_s = self._line().settings.timeout_s + SAMPLE_S * await self.read_averages()
        found = await self._number("MEAS:POW?", timeout_s=timeout_s)
        if not math.isfinite(found) or abs(found) >= NO_NUMBER:
            raise DeviceError(self.name, f"the reading is {found:g}: over the range; use range auto")
        return found if unit == "W" else 10.0 ** (found / 10 - 3)

    # -- settings -------------------------------------------------------------------------------------------

    async def set_averages(self, count: int) -> None:
        """Set how many samples of 3 ms a reading is the mean of, 1 to 10000."""
        self._in_range("averages", count, AVERAGES, "samples")
        await self._set(f"SENS:AVER:COUN {count}")
        self._same("averages", count, await self.read_averages())

    async def read_averages(self) -> int:
        """Samples of 3 ms in one reading."""
        return await self._whole("SENS:AVER:COUN?")

    async def set_attenuation_db(self, attenuation_db: float) -> None:
        """Set the loss before the sensor, -60 to 60 dB."""
        self._in_range("attenuation", attenuation_db, ATTENUATION_DB, "dB")
        await self._set(f"SENS:CORR:LOSS {attenuation_db:.3f}")
        self._close_to("attenuation", attenuation_db, await self.read_attenuation_db(), 0.001)

    async def read_attenuation_db(self) -> float:
        """Loss before the sensor in dB."""
        return await self._number("SENS:CORR:LOSS?")

    async def set_range(self, decades: str) -> None:
        """Set "auto", or "0" to "5": a fixed range so many decades below the largest of this sensor."""
        if decades == AUTO:
            await self._set("SENS:POW:RANG:AUTO 1")
        elif decades in DECADES:
            most_w = await self._number("SENS:POW:RANG? MAX")
            await self._set("SENS:POW:RANG:AUTO 0")
            # A little less than the full scale, so that rounding does not lead to the range above.
            wanted_w = 0.99 * most_w / 10 ** int(decades)
            least_w = await self._number("SENS:POW:RANG? MIN")
            await self._set(f"SENS:POW:RANG {f'{wanted_w:.6E}' if wanted_w > least_w else 'MIN'}")
        else:
            raise LocalMisuse(f"range {decades!r} is none of {AUTO}, {', '.join(DECADES)}")
        self._same("range", decades, await self.read_range())

    async def read_range(self) -> str:
        """Either "auto", or how many decades the fixed range is below the largest."""
        if await self._switch("SENS:POW:RANG:AUTO?"):
            return AUTO
        most_w, present_w = await self._number("SENS:POW:RANG? MAX"), await self.read_range_w()
        if not 0 < present_w <= 1.01 * most_w:
            raise self._broken(f"SENS:POW:RANG? answered {present_w:g} W, the largest is {most_w:g} W")
        return str(round(math.log10(most_w / present_w)))

    async def read_range_w(self) -> float:
        """Full scale of the present range in W."""
        return await self._number("SENS:POW:RANG?")

    async def zero(self) -> float:
        """Take what the sensor sees now for darkness; cover it before. Returns the new zero in W.

        Never repeated by the driver. Raises LinkTimeout when the meter is not ready after 30 s.
        """
        await self._set("SENS:CORR:COLL:ZERO")
        for _ in range(ZERO_POLLS_MAX):
            await self._settle(ZERO_POLL_S)
            if not await self._switch("SENS:CORR:COLL:ZERO:STAT?"):
                return await self.read_zero_w()
        raise LinkTimeout(self.name, f"zeroing has not ended in {ZERO_POLLS_MAX * ZERO_POLL_S:g} s")

    async def read_zero_w(self) -> float:
        """What was found by the last zeroing, in W."""
        return await self._number("SENS:CORR:COLL:ZERO:MAGN?")


class Pm400(Pm100):
    """Thorlabs PM400; it knows the same commands."""

    model = "PM400"


class Pm100Usb(Pm100):
    """Thorlabs PM100USB; it knows the same commands."""

    model = "PM100USB"

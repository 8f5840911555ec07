"""The drivers that bellwire brings, one card each.

Owns the list; a driver that is not finished is not in it. Further ones come by the entry point group
`bellwire.drivers`, whose objects are `DriverCard`s.
"""

from __future__ import annotations

from bellwire.drivers.card import DriverCard

CATALOGUE: tuple[DriverCard, ...] = (
    DriverCard(
        name="memory_controller",
        maker="bellwire",
        product="quantum-memory controller of a node",
        place="bellwire.drivers.memory_controller:MemoryController",
        roles=("memory",),
        transport="serial, framed with CRC",
        address="/dev/ttyUSB0",
        notes=("no gateware yet: emulated only",),
    ),
    DriverCard(
        name="herald_fpga",
        maker="bellwire",
        product="heralding FPGA of a station",
        place="bellwire.drivers.herald_fpga:HeraldFpga",
        roles=("herald",),
        transport="serial, framed with CRC",
        address="/dev/ttyUSB0",
        notes=("no gateware yet: emulated only",),
    ),
    DriverCard(
        name="srs_dg645",
        maker="Stanford Research Systems",
        product="DG645 delay generator",
        place="bellwire.drivers.dg645:Dg645",
        roles=("timing",),
        transport="SCPI lines over TCP 5025",
        address="TCPIP::192.0.2.5::5025::SOCKET",
        unverified=("the range of delays, 0 to 2000 s", "names of the errors 114 to 122"),
        notes=("sets are silent: each is followed by LERR? and read back",),
    ),
    DriverCard(
        name="thorlabs_tc200",
        maker="Thorlabs",
        product="TC200 oven controller",
        place="bellwire.drivers.tc200:Tc200",
        roles=("oven",),
        transport="serial 115200, text with echo and prompt",
        address="/dev/ttyUSB0",
        notes=("`ens` toggles the heater: the driver reads the status first and never repeats it",),
    ),
    DriverCard(
        name="toptica_dlc_pro",
        maker="Toptica",
        product="DLC pro laser controller, laser 1",
        place="bellwire.drivers.dlc_pro:DlcPro",
        roles=("current_laser",),
        transport="DeCoF command lines over TCP 1998",
        address="192.0.2.6",
        unverified=(
            "the numbers of its errors, and that a current above the clip is lowered with a positive status",
            "that whole numbers are taken where reals are meant (the driver sends reals)",
        ),
        notes=(
            "the driver never presses the emission button: after an interlock somebody presses it off and on",
            "several lasers on one controller: the driver knows laser 1 only",
        ),
    ),
)

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
        name="idq_id900",
        maker="ID Quantique",
        product="ID900 Time Controller",
        place="bellwire.drivers.id900:Id900",
        roles=("time_tagger", "coincidence_counter"),
        transport="SCPI strings over ZeroMQ 5555; tags by DataLinkTarget, ZeroMQ 6060 and PAIR",
        address="tcp://192.0.2.5:5555,192.0.2.6:6060",
        unverified=(
            "the emulator: nobody else's program has driven it; the link behind DataLinkTarget is left out",
            "the fields of *IDN?",
            "which source each gate of the preset COUNT listens to, and what loading the preset changes",
            "one message for each channel and sub-acquisition, also when it is empty",
            "trigger levels from -2 to 2 V, and whether inputs are on after power-up",
            "what each licence (MASTER, MASTER-HR, TCSPC-HR) knows",
        ),
        notes=(
            "COUNter:INTEgrationtime is in ms, by several drivers that were used on hardware",
            "above 10 million events per second the buffers overflow and only a restart by hand helps",
            "tags, coincidence counters and histograms share the combiners: one at a time",
            "acquisitions of a crashed client are stopped when tags are first asked for, not on connecting",
        ),
    ),
    DriverCard(
        name="idq_id1000",
        maker="ID Quantique",
        product="ID1000 Time Controller",
        place="bellwire.drivers.id900:Id1000",
        roles=("time_tagger", "coincidence_counter"),
        transport="SCPI strings over ZeroMQ 5555; tags by DataLinkTarget, ZeroMQ 6060 and PAIR",
        address="tcp://192.0.2.5:5555,192.0.2.6:6060",
        unverified=(
            "everything that is unverified of the ID900",
            "that it speaks as an ID900 does",
        ),
        notes=("see idq_id900",),
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
    DriverCard(
        name="thorlabs_mpc320",
        maker="Thorlabs",
        product="MPC320 motorised polarisation controller",
        place="bellwire.drivers.mpc320:Mpc320",
        roles=("polarization_controller",),
        transport="serial 115200, APT messages",
        address="/dev/ttyUSB0",
        unverified=(
            "what a controller does when polled faster than 10 ms (emulated as silence)",
            "the unit of the velocity in its status",
            "how far from its goal a paddle comes to rest; 2 counts are allowed",
            "whether it keeps its settings without power (emulated as not)",
        ),
        notes=(
            "one channel is enabled while it moves, and none at rest: enabling one disables the others",
            "MOVE_COMPLETED of 6 and of 20 bytes is understood",
            "the protocol has no checksum: values that cannot be put the line out of step",
        ),
    ),
    DriverCard(
        name="nkt_basik",
        maker="NKT Photonics",
        product="Koheras BASIK laser, module types 33h and 36h",
        place="bellwire.drivers.basik:Basik",
        roles=("pump_laser",),
        transport="serial 115200, NKTP telegrams with CRC",
        address="/dev/ttyUSB0",
        unverified=(
            "that a power above the rating, and emission with an open interlock, are answered with NACK",
            "that register 30h goes to 0 when the interlock opens",
            "the layout of the two bytes of the firmware number",
        ),
        notes=(
            "the laser is asked at bus address 1",
            "lost answers are asked for again, up to three times, each from another host address",
            "after an interlock emission stays off until it is asked for anew",
        ),
    ),
    DriverCard(
        name="nkt_boostik",
        maker="NKT Photonics",
        product="BOOSTIK HPA fibre amplifier",
        place="bellwire.drivers.boostik:Boostik",
        roles=("current_laser",),
        transport="serial 9600, text lines",
        address="/dev/ttyUSB0",
        unverified=(
            "the form of the information line (CDI) and of the serial number in it",
            "the greatest current, and the number of decimals that the amplifier keeps",
            "what it answers to a command that it does not know (emulated as silence)",
        ),
        notes=(
            "a set out of range is answered with the old value: each is compared and read back",
            "an output that the amplifier switched off stays off until it is asked for anew",
        ),
    ),
)

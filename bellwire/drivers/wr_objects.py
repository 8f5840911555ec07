"""Objects of a White Rabbit switch as WR-SWITCH-MIB numbers them (instruments.md 3.4).

Owns the numbers, read by driver and emulator alike. Checked against the published MIB and the agent's source
of wr-switch-sw: wrsPtpDataTable is 96.100.7.5 below `enterprises`, its only row has index 1 (an agent knows
one servo), the offset and the round trip are Counter64, the updates Counter32. The agent reads the servo
anew at most every 5 s. Newer releases give the magnitude of the offset, older ones its two's complement.
"""

from __future__ import annotations

from enum import IntEnum

from bellwire.drivers.snmp_words import ObjectId

SWITCH: ObjectId = (1, 3, 6, 1, 4, 1, 96, 100)
VERSIONS: ObjectId = (*SWITCH, 6, 3)
PTP_ENTRY: ObjectId = (*SWITCH, 7, 5, 1)
PTP_ROW = 1
CACHE_S = 5.0
"""How old what the agent tells may be (WRSPTPDATATABLE_CACHE_TIMEOUT)."""


class Version(IntEnum):
    """Scalars of wrsVersionGroup."""

    SOFTWARE = 1
    BUILD_BY = 2
    BUILD_DATE = 3
    BACKPLANE = 4
    FPGA_TYPE = 5
    MANUFACTURER = 6
    SERIAL_NUMBER = 7

    @property
    def object_id(self) -> ObjectId:
        """Its instance."""
        return (*VERSIONS, self.value, 0)


class Servo(IntEnum):
    """Columns of wrsPtpDataTable; times in ps, the length in m."""

    PORT_NAME = 2
    GRANDMASTER_ID = 3
    OWN_ID = 4
    MODE = 5
    STATE = 6
    STATE_NUMBER = 7
    PHASE_TRACKING = 8
    SYNC_SOURCE = 9
    CLOCK_OFFSET_PS = 10
    CLOCK_OFFSET_READABLE_PS = 11
    SKEW_PS = 12
    ROUND_TRIP_PS = 13
    LINK_LENGTH_M = 14
    UPDATES = 15
    DELTA_TX_MASTER_PS = 16
    DELTA_RX_MASTER_PS = 17
    DELTA_TX_SLAVE_PS = 18
    DELTA_RX_SLAVE_PS = 19
    STATE_ERRORS = 20
    OFFSET_ERRORS = 21
    ROUND_TRIP_ERRORS = 22
    UPDATE_TIME_NS = 23

    @property
    def object_id(self) -> ObjectId:
        """Its instance in the row of the servo."""
        return (*PTP_ENTRY, self.value, PTP_ROW)


class ServoState(IntEnum):
    """wrsPtpServoStateN."""

    UNINITIALIZED = 0
    SYNC_NSEC = 1
    SYNC_SEC = 2
    SYNC_PHASE = 3
    TRACK_PHASE = 4
    WAIT_OFFSET_STABLE = 5
    STANDARD_PTP = 99

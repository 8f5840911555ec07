"""qkdsec's probe of a key delivery interface; prints its report as JSON. Arguments: address, slave."""

import sys

from qkdsec.client import ETSI014Client
from qkdsec.doctor import format_json, run_all

sys.stdout.write(format_json(run_all(ETSI014Client(sys.argv[1]), sys.argv[2])))

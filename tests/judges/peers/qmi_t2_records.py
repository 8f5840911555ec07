"""QMI's decoder of T2 records: arguments are a PTU file and where its records begin; prints JSON."""

import json
import sys

import numpy as np
from qmi.instruments.picoquant.support._decoders import _T2EventDecoder

records = np.fromfile(sys.argv[1], dtype="<u4", offset=int(sys.argv[2]))
events = _T2EventDecoder().process_data(records)
json.dump({"types": events["type"].tolist(), "timestamps": events["timestamp"].tolist()}, sys.stdout)

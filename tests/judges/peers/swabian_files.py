"""The maker's FileReader: what it offers, and what it makes of junk (argument 1 is such a file), as JSON."""

import json
import sys

from Swabian import TimeTagger

reader = TimeTagger.FileReader(sys.argv[1])
try:
    reader.getConfiguration()
    refusal = None
except Exception as error:
    refusal = [[kind.__name__ for kind in type(error).__mro__], str(error)]
json.dump(
    {
        "reader": [name for name in dir(TimeTagger.FileReader) if not name.startswith("_")],
        "buffer": [name for name in dir(TimeTagger.TimeTagStreamBuffer) if not name.startswith("_")],
        "refusal": refusal,
        "promises": reader.hasData(),
        "delivers": len(reader.getData(10).getTimestamps()),
    },
    sys.stdout,
)

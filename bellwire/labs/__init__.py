"""Floor 4: reads lab files and turns them into what the hosts run.

Owns YAML, schema, units (converted here, once) and the physics that a file implies. Refuses protocol logic,
sockets and instruments. The one file `labs.py` of the house plan became this package when it passed the
length of one idea.
"""

from bellwire.labs.lab import Crash, InstrumentSettings, Lab, LinkChange, Scenario, build_lab
from bellwire.labs.load import lab_from_document, lab_schema, load_lab
from bellwire.labs.problems import LabProblems
from bellwire.labs.w2 import lab_from_w2

__all__ = [
    "Crash",
    "InstrumentSettings",
    "Lab",
    "LabProblems",
    "LinkChange",
    "Scenario",
    "build_lab",
    "lab_from_document",
    "lab_from_w2",
    "lab_schema",
    "load_lab",
]

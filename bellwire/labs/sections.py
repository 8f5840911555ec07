"""What all sections of a lab file share: strictness, and the ranges of plain values.

Owns the base class and the annotated types. Refuses keys: those stand in models.py and light.py.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
PositiveProbability = Annotated[float, Field(gt=0, le=1)]
Fidelity = Annotated[float, Field(ge=0.25, le=1)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-/]*$", max_length=64)]
NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$", max_length=64)]
BusAddress = Annotated[str, Field(pattern=r"^(tcp://[^:/\s]+:\d{1,5}|ipc://\S+)$")]


class Section(BaseModel):
    """Base of all sections: exact types, no unknown keys, no infinities."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

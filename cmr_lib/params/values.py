"""What every model of params/ is made of: strict models, and numbers that must be shares, counts or amounts."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PROFILES = ("smoke", "demo", "paper", "clinic")
Source = Literal["simulated", "dicom", "acdc", "mnms", "sunnybrook"]
PUBLIC_SOURCES = ("acdc", "mnms", "sunnybrook")  # sets that anybody can have: names are pseudonyms, no reports
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    """A model that refuses unknown names and does not turn one type into another."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

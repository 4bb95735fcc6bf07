"""Which columns to read. Apart from the checks, because workers need it and pyspark.ml takes a second to import."""

from dataclasses import dataclass
from typing import Literal

FeaturesKind = Literal["vector", "ids", "pairs", "dense"]


@dataclass(frozen=True)
class InputColumns:
    """Names of the input columns; an empty name means that there is none.

    ``binary`` asks for labels 0 and 1; ``normalize`` scales every row to unit length.
    """

    features: str
    label: str
    weight: str = ""
    validation: str = ""
    binary: bool = False
    normalize: bool = False

"""Params of the encoder of fields, with their checks."""

from collections.abc import Sequence
from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasOutputCol

from spark_fm.base.converters import one_of, whole
from spark_fm.engine.encoding.specs import FieldSpec, spec_of

OUTPUT_TYPES = ("auto", "ids", "pairs", "vector")


def fields_of(value: Any) -> list[dict[str, Any]]:
    """Fields as plain data, which a saved encoder holds.

    Raises
    ------
    TypeError, ValueError
        When one of them is no field.
    """
    if not isinstance(value, list | tuple):
        raise TypeError(f"fields: found {value!r}, expected a list of fields")
    return [spec_of(one).to_dict() for one in value]


class FieldEncoderParams(HasOutputCol):
    """The params of an encoder and of its model."""

    fields: Param[list[dict[str, Any]]] = Param(
        Params._dummy(), "fields", "fields to encode, in this order; inferred where there are none", fields_of
    )
    excludeCols: Param[list[str]] = Param(
        Params._dummy(), "excludeCols", "columns that no field is inferred for", TypeConverters.toListString
    )
    outputType: Param[str] = Param(
        Params._dummy(),
        "outputType",
        "what the features column holds: ids (array<bigint>), pairs (ids with values), vector, or auto: ids where all "
        "values are 1, else pairs",
        one_of("outputType", OUTPUT_TYPES),
    )
    coldCol: Param[str] = Param(
        Params._dummy(),
        "coldCol",
        "name of a boolean column that marks rows in which a field of coldFields has an unknown value; empty: none",
        TypeConverters.toString,
    )
    coldFields: Param[list[str]] = Param(
        Params._dummy(),
        "coldFields",
        "fields that make a row cold; all categorical ones where there are none",
        TypeConverters.toListString,
    )
    maxNames: Param[int] = Param(
        Params._dummy(),
        "maxNames",
        "of how many values of a field, the most frequent ones, the name is kept; >= 0",
        whole("maxNames", 0),
    )

    def _defaults(self) -> None:
        self._setDefault(
            outputCol="features",
            fields=[],
            excludeCols=[],
            outputType="auto",
            coldCol="",
            coldFields=[],
            maxNames=10_000,
        )

    def getFields(self) -> list[FieldSpec]:
        """Gets the value of fields."""
        return [spec_of(one) for one in self.getOrDefault(self.fields)]

    def getExcludeCols(self) -> Sequence[str]:
        """Gets the value of excludeCols."""
        found: list[str] = self.getOrDefault(self.getParam("excludeCols"))
        return found

    def getOutputType(self) -> str:
        """Gets the value of outputType."""
        return self.getOrDefault(self.outputType)

    def getColdCol(self) -> str:
        """Gets the value of coldCol."""
        return self.getOrDefault(self.coldCol)

    def getColdFields(self) -> Sequence[str]:
        """Gets the value of coldFields."""
        found: list[str] = self.getOrDefault(self.getParam("coldFields"))
        return found

    def getMaxNames(self) -> int:
        """Gets the value of maxNames."""
        return self.getOrDefault(self.maxNames)

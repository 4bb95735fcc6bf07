"""How many of the rows that are scored have no value in a field that the model knows."""

import logging
import re
from collections.abc import Sequence
from typing import Any

from pyspark.ml.feature import SQLTransformer, StringIndexerModel
from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from spark_fm.cli.stages import INTERNAL
from spark_fm.feature import FieldEncoderModel

logger = logging.getLogger("spark_fm.cli")
UNKNOWN = f"{INTERNAL}unknown"


class Unknown:
    """Counts the rows without a known value in each field, while they are scored and written: no pass of its own.

    These are fields of a FieldEncoder, and categorical columns that are not hashed.
    """

    def __init__(self) -> None:
        self._counted: list[tuple[list[str], Observation]] = []
        self._columns: dict[str, str] = {}

    def transformed(self, stages: Sequence[Any], rows: DataFrame) -> DataFrame:
        """What the stages make of the rows, which are counted on their way."""
        for stage in stages:
            rows = self._transformed(stage, rows)
        return rows

    def log(self, rows: int) -> None:
        """Say what was counted; when the rows, so many, are written."""
        for names, observation in self._counted:
            # By their names: Spark 3.5 gives the metrics in no order.
            counts = observation.get
            for number, name in enumerate(names):
                count = counts[str(number)]
                if rows and count == rows:
                    logger.warning(
                        "field %r: none of %d rows has a value that the model knows, expected the column that it was "
                        "trained on",
                        name,
                        rows,
                    )
                elif count:
                    logger.info(
                        "field %r: %d of %d rows have no value that the model knows", name, count, rows
                    )

    def _transformed(self, stage: Any, rows: DataFrame) -> DataFrame:
        if isinstance(stage, FieldEncoderModel):
            names = [one.name for one in stage.encoded]
            with_numbers = stage._with_unknown(rows, UNKNOWN)
            unknown = [F.array_contains(UNKNOWN, number) for number in range(len(names))]
            return self._observed(with_numbers, names, unknown).drop(UNKNOWN)
        made: DataFrame = stage.transform(rows)
        if isinstance(stage, SQLTransformer):
            self._columns |= _columns_of(str(stage.getStatement()))
        if isinstance(stage, StringIndexerModel):
            names = [self._columns.get(name, name) for name in stage.getInputCols()]
            # What is in no label has the number after the last.
            indices = zip(stage.getOutputCols(), stage.labelsArray, strict=True)
            return self._observed(made, names, [F.col(name) == len(labels) for name, labels in indices])
        return made

    def _observed(self, rows: DataFrame, names: list[str], unknown: list[Column]) -> DataFrame:
        observation = Observation()
        self._counted.append((names, observation))
        counts = [F.count(F.when(one, 1)).alias(str(number)) for number, one in enumerate(unknown)]
        return rows.observe(observation, *counts)


def _columns_of(statement: str) -> dict[str, str]:
    """The user's columns by the names that a statement of :mod:`spark_fm.cli.stages` gives to their categories."""
    found, before = {}, 0
    for named in re.finditer(rf" AS ({INTERNAL}\w+)", statement):
        read = re.search(r"`((?:[^`]|``)+)`", statement[before : named.start()])
        before = named.end()
        if read:
            found[named[1]] = read[1].replace("``", "`")
    return found

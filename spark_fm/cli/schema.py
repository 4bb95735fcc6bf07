"""The schema that a config tells for text: as Spark guesses it from the values, mended where its guess changes them."""

from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DateType,
    MapType,
    NumericType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from spark_fm.cli.config import Input
from spark_fm.cli.read import read
from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.packing.columns import quoted

GUESSES = ("inferSchema", "inferTimestamp")
# Spark takes 007 for 7, 1D for 1.0 and 12:30 for half past twelve of today.
NO_NUMBER = r"^\s*[+-]?0[0-9]|[0-9.][dDfF]\s*$"
A_TIME = r"^\s*[+-]?\d{4}-"


def with_schema(spark: SparkSession, source: Input) -> Input:
    """A source of text with a schema that keeps what its cells say: leading zeros, for one, make a string.

    Raises
    ------
    ValueError
        When it can't be read.
    """
    guessed = read(spark, source, "TABLE")
    options = {name: value for name, value in source.options.items() if name not in GUESSES}
    plain = read(spark, replace(source, options=options), "TABLE")
    texts = _texts(guessed.schema, plain)
    fields = [(one.name, StringType() if one.name in texts else one.dataType) for one in guessed.schema]
    schema = ", ".join(f"{quoted(name)} {ddl(kind)}" for name, kind in fields)
    return replace(source, options=options, schema=schema)


def _texts(guessed: StructType, plain: DataFrame) -> set[str]:
    """The columns whose cells are texts, although all of them can be read as numbers or times."""
    terms = {}
    for i, (one, text) in enumerate(zip(guessed, plain.schema, strict=True)):
        x = F.col(quoted(text.name))
        if not isinstance(text.dataType, StringType):
            continue
        if isinstance(one.dataType, NumericType):
            terms[i] = x.rlike(NO_NUMBER)
        elif isinstance(one.dataType, DateType | TimestampType | TimestampNTZType):
            terms[i] = ~x.rlike(A_TIME)
    if not terms:
        return set()
    counted = plain.agg(*(F.count(F.when(term, 1)).alias(f"c{i}") for i, term in terms.items()))
    found = collect(counted)[0]
    return {guessed[i].name for i in terms if found[f"c{i}"]}


def ddl(kind: DataType) -> str:
    """A type as SQL writes it, names of nested fields quoted."""
    if isinstance(kind, StructType):
        return f"struct<{', '.join(f'{quoted(one.name)}: {ddl(one.dataType)}' for one in kind)}>"
    if isinstance(kind, ArrayType):
        return f"array<{ddl(kind.elementType)}>"
    if isinstance(kind, MapType):
        return f"map<{ddl(kind.keyType)}, {ddl(kind.valueType)}>"
    return kind.simpleString()

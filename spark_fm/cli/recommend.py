"""The job that recommends."""

import logging
from collections.abc import Sequence
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.cli.checks import check_places, check_settings
from spark_fm.cli.command import Steps
from spark_fm.cli.config import Config, Recommend, required
from spark_fm.cli.model import load_model
from spark_fm.cli.output import is_wanted, write
from spark_fm.cli.read import read
from spark_fm.engine.encoding.sides import Keyed, sides_of
from spark_fm.engine.packing.columns import field_of, quoted
from spark_fm.engine.packing.names import check_names
from spark_fm.engine.ranking.reasons import REASONS
from spark_fm.engine.ranking.top_k import RATING, RECOMMENDATIONS
from spark_fm.feature import FieldEncoderModel

logger = logging.getLogger("spark_fm.cli")
RANK = "rank"


def recommend(spark: SparkSession, config: Config) -> None:
    """Load a model, read contexts and items, and write the best items of each context.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        In one sentence, what the user can mend.
    """
    steps = Steps()
    check_settings(config)
    asked = config.recommend
    path = required(config.model.path, "model.path", "the folder of a saved model")
    required(
        asked.context, "recommend.context", "the column of the contexts' keys, such as that of the users"
    )
    required(asked.item, "recommend.item", "the column of the items' keys")
    sources = {"recommend.contexts": asked.contexts, "recommend.items": asked.items}
    if asked.exclude.path or asked.exclude.table:
        sources["recommend.exclude"] = asked.exclude
    check_places(spark, config, sources)
    if not is_wanted(spark, config.output):
        return
    with steps.step("load the model"):
        model = load_model(spark, path)
    with steps.step("read"):
        tables = {key: read(spark, source, key) for key, source in sources.items()}
        found = recommended(model, asked, *tables.values())
    with steps.step(f"rank and write to {config.output.path or config.output.table}"):
        written = write(found, config.output)
    logger.info("rows: %d", written)


def recommended(
    model: PipelineModel,
    asked: Recommend,
    contexts: DataFrame,
    items: DataFrame,
    exclude: DataFrame | None = None,
) -> DataFrame:
    """The best items of each context, in the form that was asked for.

    Rows of a table that are equal in the key and in what the model reads count once.

    Raises
    ------
    ValueError, TypeError
        When a column is missing or of the wrong type, the model's features are not made of fields or ready, or its
        fields do not split into sides.
    """
    field_of(contexts, asked.context, "recommend.context")
    field_of(items, asked.item, "recommend.item")
    _check_names(asked, contexts.sparkSession)
    sides = _encoded(model, asked, contexts, items)
    if exclude is not None:
        for key in (asked.context, asked.item):
            field_of(exclude, key, "recommend.exclude")
        exclude = exclude.select(quoted(asked.context), quoted(asked.item))
    fm: Any = model.stages[-1]
    found: DataFrame = fm.recommend(
        *sides, asked.k, exclude, contextCol=asked.context, itemCol=asked.item, reasons=asked.reasons
    )
    if asked.form == "list":
        return found
    each = found.select(quoted(asked.context), F.posexplode(RECOMMENDATIONS).alias(RANK, RECOMMENDATIONS))
    return each.select(quoted(asked.context), (F.col(RANK) + 1).alias(RANK), f"{RECOMMENDATIONS}.*")


def _check_names(asked: Recommend, spark: SparkSession) -> None:
    """Check that the columns that are written have different names."""
    keys = {"recommend.context": asked.context, "recommend.item": asked.item}
    check_names(spark, keys)
    ours = [RATING, REASONS] if asked.reasons else [RATING]
    if asked.form == "rows":
        check_names(spark, keys, ours=[RANK, RECOMMENDATIONS, *ours])
    else:
        check_names(spark, {"recommend.context": asked.context}, ours=[RECOMMENDATIONS])
        check_names(spark, {"recommend.item": asked.item}, ours=ours)


def _encoded(
    model: PipelineModel, asked: Recommend, contexts: DataFrame, items: DataFrame
) -> tuple[DataFrame, DataFrame]:
    """Contexts and items with the features of their side."""
    *encoders, last = model.stages
    fm: Any = last
    if not encoders:
        features = fm.getFeaturesCol()
        field_of(contexts, features, "recommend.contexts")
        field_of(items, features, "recommend.items")
        return contexts.select(quoted(asked.context), quoted(features)), items.select(
            quoted(asked.item), quoted(features)
        )
    encoder = encoders[0]
    if len(encoders) > 1 or not isinstance(encoder, FieldEncoderModel):
        raise ValueError(
            "recommend: the model's features are made of columns.categorical and columns.numeric, expected a model "
            "trained with [[fields]] or with columns.features"
        )
    sides = sides_of(
        encoder.layout.fields,
        Keyed(asked.context, contexts.columns),
        Keyed(asked.item, items.columns),
        asked.itemFields,
        "recommend.",
    )
    for name in sides.left_out:
        logger.warning("field %r is left out: no table of its side has its columns", name)
    return (
        encoder.encode(_read_by(encoder, contexts, asked.context, sides.contexts), sides.contexts),
        encoder.encode(_read_by(encoder, items, asked.item, sides.items), sides.items),
    )


def _read_by(encoder: FieldEncoderModel, table: DataFrame, key: str, fields: Sequence[str]) -> DataFrame:
    """The key and what some fields read, equal rows once; all rows where Spark can't compare them, as those of maps."""
    read = [column for one in encoder.layout.fields if one.name in fields for column in one.columns]
    rows = table.select(*(quoted(name) for name in dict.fromkeys([key, *read])))
    return rows if "map<" in rows.schema.simpleString() else rows.distinct()

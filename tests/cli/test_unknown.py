"""What scoring says of values that the model does not know."""

import logging
from pathlib import Path
from typing import Any

import pytest
from pyspark.ml import Pipeline
from pyspark.sql import SparkSession

from spark_fm import FMRegressor
from spark_fm.cli import score_main
from spark_fm.cli.config import Columns, Config
from spark_fm.cli.stages import FEATURES, encoders
from spark_fm.feature import FieldEncoder, categorical, numeric, set_of

COLUMNS = ["id % 3 AS user", "concat('film', id % 2) AS `fi``lm`", "array(id % 2) AS tags", "id / 2 AS price"]
SCORED = {
    "user": "id % 6",
    "fi`lm": "concat('book', id)",
    "tags": "if(id < 5, array(), array(1, 7))",
    "price": "if(id = 0, double('NaN'), 0D)",
}
FIELDS = [categorical("user"), categorical("fi`lm"), set_of("tags"), numeric("price")]


@pytest.mark.parametrize("form", ["auto", "vector", "columns"])
def test_the_log_says_where_the_model_knows_no_value(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    rows = spark.range(24).selectExpr("rand(0) AS label", *COLUMNS)
    config = Config(columns=Columns(categorical=("user", "fi`lm"), numeric=("price",)))
    made: list[Any] = encoders(config, rows.schema)
    if form != "columns":
        made = [FieldEncoder(fields=FIELDS, outputCol=FEATURES, outputType=form, coldCol="cold")]
    fm = FMRegressor(featuresCol=FEATURES, factorSize=1, maxIter=1)
    Pipeline(stages=[*made, fm]).fit(rows).save(str(tmp_path / "model"))
    (tmp_path / "job.toml").write_text("")
    prices = {"price": "0D"} if form == "columns" else {}
    for many in (12, 0):
        names = {name: f"{cell} AS `{name.replace('`', '``')}`" for name, cell in (SCORED | prices).items()}
        spark.range(many).selectExpr(*names.values()).write.parquet(str(tmp_path / f"rows{many}"))
        flags = ["--input", f"{tmp_path}/rows{many}", "--output", f"{tmp_path}/scored{many}"]
        flags += ["--config", f"{tmp_path}/job.toml", "--model", f"{tmp_path}/model"]
        caplog.clear()
        with caplog.at_level(logging.INFO, "spark_fm.cli"):
            assert score_main(flags) == 0
        said = {r.getMessage() for r in caplog.records if r.getMessage().startswith("field")}
        known = "rows have no value that the model knows"
        expected = {f"field 'user': 6 of 12 {known}"} if many else set()
        if many and form != "columns":
            expected |= {f"field 'tags': 5 of 12 {known}", f"field 'price': 1 of 12 {known}"}
        assert {one for one in said if "none of" not in one} == expected
        warned = [r.getMessage()[:33] for r in caplog.records if r.levelno == logging.WARNING]
        assert warned == (["field 'fi`lm': none of 12 rows has"[:33]] if many else [])
    assert spark.read.parquet(f"{tmp_path}/scored12").count() == 12

"""Names that users choose, beside columns that there are and those that are added."""

import re

import pytest

from spark_fm.engine.packing.names import check_names


@pytest.mark.parametrize(
    ("chosen", "columns", "ours", "sentence"),
    [
        ({"outputCol": "User"}, ["user"], [], "outputCol: there is already a column 'User', expected another name"),
        ({"a": "x", "b": "X"}, [], [], "a, b: found 'X' for both, expected two names"),
        ({"itemCol": "Rating"}, [], ["rating"], "itemCol: found 'Rating', which is the name of one that spark_fm adds"),
        ({}, ["user", "__Ours"], ["__ours"], "found a column '__Ours', which is the name of one that spark_fm adds"),
    ],
)  # fmt: skip
def test_names_of_one_column_are_refused_as_spark_tells_them(spark, chosen, columns, ours, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        check_names(spark, chosen, columns, ours)
    # Spark takes it in any case, too.
    spark.conf.set("spark.sql.caseSensitive", "True")
    try:
        check_names(spark, chosen, columns, ours)
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


def test_no_name_is_no_column(spark):
    check_names(spark, {"a": "", "b": "", "c": "x"}, ["y"])

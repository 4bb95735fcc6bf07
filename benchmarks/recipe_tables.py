"""The table and the picture of docs/recipes.md, from the results of benchmarks.recipes and benchmarks.polynomial."""

from typing import Any

from benchmarks.linechart import lines

Row = dict[str, Any]
HEAD = ["model", "RMSE, untuned", "RMSE, validated", "fit seconds", "encoding seconds"]


def recipe_rows(made: Row) -> list[list[str]]:
    """Baselines, ALS and the recipes: cells under :data:`HEAD`."""
    tables = made["tables"]
    rows = [[one["baseline"], f"{one['RMSE']:.3f}", "", "", ""] for one in tables["baselines"]]
    return [*rows, _als(tables["ALS"]), *(_recipe(one) for one in tables["recipes"])]


def _als(rows: list[Row]) -> list[str]:
    best = min(rows, key=lambda row: row["RMSE"])
    chosen = min(rows, key=lambda row: row["validation RMSE"])
    name = f"pyspark.ml ALS, the best of {len(rows)} on the test rows"
    return [name, f"{best['RMSE']:.3f}", f"{chosen['RMSE']:.3f}", f"{best['fit seconds']:.2g}", ""]


def _recipe(row: Row) -> list[str]:
    return [
        row["recipe"],
        f"{row['RMSE untuned']:.3f}",
        f"{row['RMSE validated']:.3f}",
        f"{row['fit seconds']:.2g}",
        f"{row['encoding seconds']:.2g}",
    ]


def polynomial_chart(made: Row) -> str:
    """Seconds a row by the number of numbers in it."""
    (rows,) = made["tables"].values()
    series = {
        f"FM, k = {rows[0]['k']}: O(k n)": [row["FM s a row"] for row in rows],
        "a weight a pair: O(n²)": [row["polynomial s a row"] for row in rows],
    }
    title = "A score with all pairs of n numbers, on one thread"
    return lines(title, "n, numbers in a row", "seconds a row", [row["n"] for row in rows], series)

"""The tables and charts of the documentation, made from the result files in benchmarks/results and from the params.

python -m benchmarks.readme

rewrites what stands between ``<!-- table: NAME -->`` and ``<!-- end -->`` in README.md and docs/*.md, and
docs/peers.svg and docs/polynomial.svg. The tests fail where a file is not what this command would write.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.charts import Panel, dots
from benchmarks.common import cell, show
from benchmarks.recipe_tables import HEAD, polynomial_chart, recipe_rows

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
CHART = ROOT / "docs" / "peers.svg"
POLYNOMIAL = ROOT / "docs" / "polynomial.svg"
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

TITLES = {
    "ml-latest-small": "MovieLens small",
    "a9a": "a9a (UCI Adult)",
    "sample": "pyspark's MovieLens sample",
}
PARTITIONS = (1, 4, 16, 64)
SECONDS = "times the first row's seconds"
OTHERS = "others' part of the processors"
MOST_OF_OTHERS = 0.05

# How a column of the table is found among the models of a result file: those whose name begins so.
COLUMNS = {
    "spark_fm untuned": "spark_fm, untuned",
    "spark_fm tuned": "spark_fm, tuned",
    "pyspark.ml FM": "pyspark FM",
    "pyspark.ml linear": "pyspark L",
    "modern-fm": "modern-fm",
    "myfm": "myfm",
}
Row = dict[str, Any]


def result(name: str) -> Row | None:
    """A result file, None where there is none."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def results(kind: str) -> list[Row]:
    """The result files of a kind, those of the README's sets first."""
    order = list(TITLES)
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{kind}-*.json"))]
    names = [path.stem.removeprefix(f"{kind}-") for path in sorted(RESULTS.glob(f"{kind}-*.json"))]
    pairs = sorted(
        zip(names, found, strict=True), key=lambda p: order.index(p[0]) if p[0] in order else len(order)
    )
    return [made for _, made in pairs]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def provenance(found: list[Row]) -> str:
    """Commands, machines, dates and versions of result files, as small print."""
    said = []
    for made in found:
        versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
        line = f"`{made['command']}` on {made['date']}: {made['machine']}; {versions}."
        if made.get(OTHERS, 0.0) > MOST_OF_OTHERS:
            line += f" **Other work took {100 * made[OTHERS]:.0f} % of the processors: times say little.**"
        if "note" in made:
            line += f" **{made['note']}**"
        said.append(line)
    return "\n".join(f"<sub>{line}</sub><br>" for line in dict.fromkeys(said))


def best(made: Row, beginning: str) -> Row | None:
    """Of the models whose names begin so, the one that is best by the deciding metric."""
    metric = made["tables"]["set"][0]["metric"]
    found = [
        row
        for row in made["tables"]["models"]
        if row["model"].startswith(beginning) and "from vectors" not in row["model"] and metric in row
    ]
    return min(found, key=lambda row: row[metric]) if found else None


def times(number: float) -> str:
    """A ratio with two significant digits."""
    return f"{number:.2g} x" if number < 10 else f"{number:.0f} x"


def quality_table() -> str:
    """Metrics and fit seconds beside others: the sets that all of them were measured on."""
    rows, used = [], [made for name in TITLES if (made := result(f"quality-{name}"))]
    for made in used:
        about = made["tables"]["set"][0]
        fits = {name: best(made, beginning) for name, beginning in COLUMNS.items()}
        for metric, sign in ((about["metric"], 1), ("AUC", -1)):
            values = {name: fit[metric] for name, fit in fits.items() if fit and metric in fit}
            if not values:
                continue
            digits = 4 if about["metric"] == "log-loss" else 3
            top = min(round(sign * value, digits) for value in values.values())
            cells = [
                ("**{}**" if round(sign * values[name], digits) == top else "{}").format(
                    f"{values[name]:.{digits}f}"
                )
                if name in values
                else ""
                for name in COLUMNS
            ]
            title = f"{TITLES[about['name']]}, {about['rows']:,} rows" if sign > 0 else ""
            rows.append([title, metric, *cells])
        ratios = [fit and fit[SECONDS] for fit in fits.values()]
        rows.append(["", "fit time", *(times(r) if r else "" for r in ratios)])
    return f"{table(['data', '', *COLUMNS], rows)}\n\n{provenance(used)}"


def times_table() -> str:
    """Seconds to the best quality of others."""
    rows, used = [], [made for made in results("quality") if "time to quality" in made["tables"]]
    for made in used:
        for row in made["tables"]["time to quality"]:
            if row["model"].startswith("spark_fm, untuned") and "from vectors" not in row["model"]:
                faster = row.get("times faster")
                rows.append(
                    [
                        made["tables"]["set"][0]["name"],
                        row["quality"].split(", ", 1)[1].removeprefix("the best of "),
                        row["quality"].split(",")[0],
                        f"{row['seconds']:.3g}" if faster else "never",
                        str(row.get("epochs", "")),
                        times(1 / faster) if faster else "",
                    ]
                )
    head = [
        "data",
        "whose best quality",
        "it is",
        "spark_fm's seconds to it",
        "epochs",
        "in the other's fit time",
    ]
    return f"{table(head, rows)}\n\n{provenance(used)}"


def large_table() -> str:
    """Metrics on generated sets beside others."""
    rows = []
    used = [made for made in results("quality") if made["tables"]["set"][0]["name"] not in TITLES]
    for made in used:
        about = made["tables"]["set"][0]
        for name, beginning in COLUMNS.items():
            fit = best(made, beginning)
            if fit:
                rows.append(
                    [
                        about["name"],
                        name,
                        f"{about['metric']} {fit[about['metric']]:.4f}",
                        f"{fit['fit seconds']:.3g}",
                        times(fit[SECONDS]),
                    ]
                )
    return f"{table(['data', 'model', 'quality', 'fit seconds', 'fit time'], rows)}\n\n{provenance(used)}"


def scale_table() -> str:
    """What an epoch costs beside the kernel alone."""
    made = result("scale")
    if made is None:
        return ""
    (rows,) = made["tables"].values()
    cells = [
        [
            f"{row['rows']:,}",
            f"{row['features that occur']:,}",
            str(row["factors"]),
            str(row["partitions"]),
            str(row["rounds an epoch"]),
            f"{row['epoch s']:.2f}",
            f"{row['kernel alone s']:.2f}",
            f"{row['ratio']:.1f}",
        ]
        for row in rows
        if "ratio" in row
    ]
    head = ["rows", "features that occur", "factors", "partitions", "rounds an epoch"]
    return f"{table([*head, 'epoch s', 'kernel alone s', 'ratio'], cells)}\n\n{provenance([made])}"


def partitions_table() -> str:
    """The best test metric by partitions and rule."""
    rows, used = [], results("partitions")
    for made in used:
        (found,) = (rows for title, rows in made["tables"].items() if title == "best")
        for rule in dict.fromkeys(row["rule"] for row in found):
            by = {row["partitions"]: row for row in found if row["rule"] == rule and "best" in row}
            cells = []
            for number in PARTITIONS:
                row = by.get(number)
                told = "" if number == 1 or row is None else f" ({row['from the fewest partitions']})"
                cells.append(f"{float(row['best']):.4f}{told}" if row else "")
            rows.append([f"{found[0]['data']}, {found[0]['metric']}", rule, *cells])
    head = ["data", "rule", *(f"P = {number}" for number in PARTITIONS)]
    return f"{table(head, rows)}\n\n{provenance(used)}"


def recommend_table() -> str:
    """The best items of all users, beside others' ways."""
    rows, used = [], results("recommend")
    for made in used:
        (found,) = made["tables"].values()
        for row in found:
            memory = [f"{row[name]:,}" if name in row else "" for name in ("JVM MB", "workers MB")]
            ratio = times(row["times spark_fm's"])
            rows.append([row["pairs"], row["way"], f"{row['seconds']:,.3g}", ratio, *memory])
    head = ["users x items", "way", "seconds", "times spark_fm's", "JVM MB", "workers MB"]
    return f"{table(head, rows)}\n\n{provenance(used)}"


def explaining_table() -> str:
    """What explainCol costs beside scoring, by the number of fields."""
    made = result("explaining")
    if made is None:
        return ""
    (rows,) = made["tables"].values()
    cells = [[str(row["fields"]), str(row["parts of a row"]), times(row["ratio"])] for row in rows]
    head = ["features of a row", "parts of its score", "explainCol, beside scoring alone"]
    return f"{table(head, cells)}\n\n{provenance([made])}"


def recipes_table() -> str:
    """RMSE and seconds of the recipes, of ALS and of means."""
    made = result("recipes")
    return f"{table(HEAD, recipe_rows(made))}\n\n{provenance([made])}" if made else ""


def sampler_table(kind: str) -> str:
    """All cells of the sampler's tables of a kind, set by set."""
    parts = []
    for made in results("sampler"):
        for title, rows in made["tables"].items():
            if kind not in title:
                continue
            head = list(dict.fromkeys(name for row in rows for name in row))
            cells = [[cell(row.get(name, "")) for name in head] for row in rows]
            parts.append(f"**{title}**\n\n{table(head, cells)}\n\n{provenance([made])}")
    return "\n\n".join(parts)


def whole_table(name: str) -> str:
    """All cells of a result file of one table."""
    made = result(name)
    if made is None:
        return ""
    (rows,) = made["tables"].values()
    head = list(rows[0])
    return f"{table(head, [[cell(row[one]) for one in head] for row in rows])}\n\n{provenance([made])}"


def params_table() -> str:
    """All params of the estimators, from their own documentation."""
    from spark_fm import FMClassifier, FMRegressor

    estimators = [FMRegressor(), FMClassifier()]
    params = {param.name: param for estimator in estimators for param in estimator.params}
    rows = []
    for name, param in sorted(params.items(), key=lambda pair: pair[0].lower()):
        owners = [one for one in estimators if one.hasParam(name)]
        default = owners[0].getOrDefault(name) if owners[0].hasDefault(name) else None
        shown = (
            ""
            if default in (None, "")
            else f"`{json.dumps(default) if not isinstance(default, str) else default}`"
        )
        only = "" if len(owners) == 2 else f" ({type(owners[0]).__name__} only)"
        doc = " ".join(param.doc.split()).rstrip(".").replace("|", r"\|")
        rows.append([f"`{name}`", shown, doc + only])
    return table(["param", "default", "meaning"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "quality": quality_table,
    "times": times_table,
    "large": large_table,
    "scale": scale_table,
    "partitions": partitions_table,
    "recommend": recommend_table,
    "explaining": explaining_table,
    "recipes": recipes_table,
    "params": params_table,
    "encoding": partial(whole_table, "encoding"),
    "caching": partial(whole_table, "caching"),
    "large-models": partial(whole_table, "large_models"),
    "small": partial(whole_table, "small"),
    "kills": partial(whole_table, "kills"),
    "leaks": partial(whole_table, "leaks"),
    "sampler-quality": partial(sampler_table, "quality"),
    "sampler-sweeps": partial(sampler_table, "sweeps"),
    "sampler-partitions": partial(sampler_table, "partitions"),
    "sampler-cost": partial(sampler_table, "a sweep"),
    "sampler-fields": partial(sampler_table, "more fields"),
}


def chart() -> str:
    """The README's picture: the deciding metric of every model, a panel for each public set."""
    panels = []
    for name in ("ml-latest-small", "a9a"):
        made = result(f"quality-{name}")
        if made is None:
            continue
        about = made["tables"]["set"][0]
        found = {
            column: fit for column, beginning in COLUMNS.items() if (fit := best(made, beginning)) is not None
        }
        panels.append(
            Panel(
                f"{TITLES[name]}: {about['metric']} of the test rows, smaller is better",
                [
                    (column, fit[about["metric"]], f"{times(fit[SECONDS])} the fit time")
                    for column, fit in found.items()
                ],
            )
        )
    return dots(panels, "spark_fm")


def pages() -> list[Path]:
    """The files that may have marked parts."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def rewritten(text: str) -> str:
    """A page with its marked parts made anew.

    Raises
    ------
    KeyError
        When there is no table of a name.
    """
    return MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


def wanted() -> dict[Path, str]:
    """What the files should hold."""
    charts = {CHART: chart()}
    if made := result("polynomial"):
        charts[POLYNOMIAL] = polynomial_chart(made)
    return {page: rewritten(page.read_text()) for page in pages()} | charts


def stale() -> list[str]:
    """The files that are not what they should be."""
    return [
        str(path.relative_to(ROOT))
        for path, text in wanted().items()
        if not path.exists() or path.read_text() != text
    ]


def main() -> None:
    """Rewrite."""
    for path, text in wanted().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            show(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

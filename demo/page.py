"""The page: what was made, how good the model is, what it has found, and what it recommends and why."""

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pyspark.sql import SparkSession

from demo import model, pictures
from demo.events import GENRES, NOISE_STD, World, world
from spark_fm import __version__

MONTH_NAMES = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
# When the three users look for a film: in the season of horror films, of family films, and of action films.
MOMENTS = [datetime(2026, 10, 30, 21), datetime(2026, 12, 20, 16), datetime(2026, 7, 11, 20)]
SHOWN_EVENTS = 6


def page_of(spark: SparkSession) -> str:
    """Make the events, train, recommend, and write the page as HTML that needs no other file."""
    made = world()
    trained = model.train(spark, made.events)
    moments = dict(zip(chosen(made), MOMENTS, strict=True))
    found = model.recommended(spark, trained, made.movies, made.events, moments)
    cards = [_card(spark, made, trained, user, moment, found[user]) for user, moment in moments.items()]
    return rendered(
        {
            "version": __version__,
            "counts": _counts(made),
            "events": made.events.head(SHOWN_EVENTS).to_dict("records"),
            "training": trained.rows,
            "fields": _fields(trained),
            "scores": trained.scores,
            "errors": pictures.bars([(one.name, one.rmse) for one in trained.scores], NOISE_STD),
            "curve": pictures.png_of(trained.fm.summary.plot),
            "importance": trained.fm.importance().to_dict("records"),
            "matrix": pictures.png_of(trained.fm.plotFieldMatrix),
            "seasons": pictures.two_matrices(
                model.centred(made.seasons),
                model.interactions(trained, "month", MONTH_NAMES, "genres", GENRES),
                MONTH_NAMES,
                GENRES,
            ),
            "cards": cards,
            "k": model.K,
        }
    )


def rendered(values: dict[str, Any]) -> str:
    """The template with values; all text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(values)


def chosen(made: World) -> list[str]:
    """Three users of many ratings, whose tastes differ: fond of horror, of family films, and of action."""
    ranked = made.events["user"].value_counts().index
    frequent = made.tastes.loc[ranked[: len(ranked) // 2]]
    users: list[str] = []
    for genre in ("Horror", "Family", "Action"):
        first_names = tuple(user.partition(" ")[0] for user in users)
        others = frequent[~frequent.index.str.startswith(first_names)]
        users.append(str(others[genre].idxmax()))
    return users


def phrase(label: str) -> str:
    """A reason as people say it: values without the names of their fields, but for numbers."""
    parts = [part.partition("=") for part in label.split(" x ")]
    said = {"movie": "this film"}
    return " × ".join(
        said.get(name, f"visits {value}" if name == "visits" else value) for name, _, value in parts
    )


def _card(
    spark: SparkSession,
    made: World,
    trained: model.Trained,
    user: str,
    moment: datetime,
    best: list[dict[str, Any]],
) -> dict[str, Any]:
    """What the page says of one user."""
    history = made.events[made.events["user"] == user]
    of = made.movies.set_index("movie")
    top = of.loc[best[0]["movie"]]
    why = model.explained(spark, trained, user, moment, len(history), best[0]["movie"], top["genres"])
    loves = made.tastes.loc[user].to_numpy()
    truth = dict(zip(GENRES, (loves - loves.mean()).tolist(), strict=True))
    rows = [
        {
            "movie": one["movie"],
            "genres": of.loc[one["movie"], "genres"],
            "rating": one["rating"],
            "reasons": [(phrase(part["label"]), part["contribution"]) for part in one["reasons"]],
        }
        for one in best
    ]
    return {
        "user": user,
        "moment": f"{moment:%A, %d %B %Y}",
        "rated": len(history),
        "mean": history["rating"].mean(),
        "liked": history.sort_values(["rating", "time"], ascending=False).head(4).to_dict("records"),
        "rows": rows,
        "tastes": pictures.tastes(truth, model.opinions(trained, user, GENRES)),
        "waterfall": pictures.png_of(why.plot),
    }


def _counts(made: World) -> dict[str, Any]:
    events = made.events
    return {
        "events": len(events),
        "users": events["user"].nunique(),
        "movies": len(made.movies),
        "genres": len(GENRES),
        "first": f"{events['time'].min():%B %Y}",
        "last": f"{events['time'].max():%B %Y}",
    }


def _fields(trained: model.Trained) -> list[dict[str, Any]]:
    """The fields, their features, and what the first of these are called."""
    found = []
    for one in trained.encoder.layout.fields:
        names = [
            trained.encoder.layout.label(i).partition("=")[2] for i in range(one.first, one.first + one.size)
        ]
        found.append(
            {
                "name": one.name,
                "kind": one.kind,
                "columns": ", ".join(one.columns),
                "size": one.size,
                "examples": ", ".join(names[:3]),
            }
        )
    return found

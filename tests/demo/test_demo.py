"""The demo's events, and the page that is written of them."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from demo import events, model, page, pictures

SMALL = {"users": 60, "movies": 80, "events": 3000}


@pytest.fixture(scope="module")
def made() -> events.World:
    return events.world(**SMALL)


def test_the_same_world_again(made: events.World) -> None:
    again = events.world(**SMALL)
    pd.testing.assert_frame_equal(made.events, again.events)
    assert not made.events.equals(events.world(**SMALL, seed=1).events)


def test_events_are_as_told(made: events.World) -> None:
    rows = made.events
    assert len(rows) == 3000
    assert rows["time"].is_monotonic_increasing
    assert not rows.duplicated(["user", "movie"]).any()
    assert set(rows["rating"]) <= set(np.arange(0.5, 5.5, 0.5))
    for _, visits in rows.groupby("user")["visits"]:
        assert visits.tolist() == list(range(len(visits)))
    assert made.movies["movie"].is_unique
    assert all(re.fullmatch(r"[A-Z].+ \((19|20)\d\d\)", title) for title in made.movies["movie"])
    assert not made.movies["movie"].str.contains(r"\bA [AEIOU]").any()


def test_stars_have_the_structure_that_a_model_is_to_find() -> None:
    made = events.world()
    rows = made.events.explode("genres")
    rating = rows["rating"]
    loved = np.array(
        [made.tastes.at[user, genre] for user, genre in zip(rows["user"], rows["genres"], strict=True)]
    )
    assert rating[loved > 0.5].mean() > rating[loved < -0.5].mean() + 0.8
    horror, october = rows["genres"] == "Horror", rows["time"].dt.month == 10
    assert rating[horror & october].mean() > rating[horror & ~october].mean() + 0.3
    assert rating[rows["visits"] < 5].mean() > rating[rows["visits"] > 50].mean() + 0.2


def test_centred() -> None:
    table = model.centred(np.arange(12.0).reshape(3, 4) ** 2)
    assert np.allclose(table.mean(0), 0.0)
    assert np.allclose(table.mean(1), 0.0)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("movie=Silent Signal (2001)", "this film"),
        ("user=Ada Berg x genres=Noir", "Ada Berg × Noir"),
        ("month=October x movie=Silent Signal (2001)", "October × this film"),
        ("visits=[8, 16) x user=Ada Berg", "visits [8, 16) × Ada Berg"),
    ],
)
def test_phrases(label: str, said: str) -> None:
    assert page.phrase(label) == said


class Page(HTMLParser):
    """Collects what a page refers to, and the texts of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.described = 0
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.sources += [str(given[name]) for name in ("src", "href") if name in given]
        self.described += tag == "img" and bool(given.get("alt"))
        if tag not in ("img", "meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_of_a_small_world(
    spark: SparkSession, made: events.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file, its tags closed, names escaped; the three users get films that they have not rated."""
    evil = "<b>Ben & Co</b>"
    named = made.events.replace({"user": {page.chosen(made)[0]: evil}})
    world = made._replace(events=named, tastes=made.tastes.rename(index={page.chosen(made)[0]: evil}))
    monkeypatch.setattr(page, "world", lambda: world)
    monkeypatch.setattr(page, "SHOWN_EVENTS", 50)
    text = page.page_of(spark)
    found = Page(text)
    assert found.open == []
    assert found.described == len(found.sources) == 10
    assert all(source.startswith("data:image/") for source in found.sources)
    assert "http" not in re.sub(r'"data:[^"]*"', "", text)
    assert evil not in text
    assert "The top 10 for &lt;b&gt;Ben &amp; Co&lt;/b&gt;" in text
    for card in text.split("<h2>The top 10 for ")[1:]:
        user = card.partition("</h2>")[0].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        films = re.findall(r'<td class="number">\d+</td><td>(.+?)</td>', card)
        assert len(films) == 10
        assert not set(films) & set(named.loc[named["user"] == user, "movie"])


def test_pictures_are_the_same_again() -> None:
    drawn = [pictures.bars([("a", 0.5), ("b", 0.4)], 0.3) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0].startswith("data:image/svg+xml;base64,")

"""MovieLens-like events from a seeded generator: who gave which movie how many stars, and when.

The stars have a structure that a model can find:

    3.3 + user + movie + <taste of the user, genres> + season of the genres in the month + generosity of newcomers
    + noise of 0.6 stars, rounded to half stars from 0.5 to 5
"""

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from demo.words import FIRST_NAMES, LAST_NAMES, PATTERNS, PLACES, TITLES

SEED = 2010
USERS, MOVIES, EVENTS = 250, 350, 30_000
GENRES = list(TITLES)
MONTHS = 12
MEAN, USER_STD, MOVIE_STD, NOISE_STD = 3.3, 0.3, 0.35, 0.6
LOVED, TASTE_STD = 0.9, 0.15
LEAST, MOST = 0.5, 5.0
NEWCOMER, VISITS = 0.5, 12.0
FIRST_DAY, LAST_DAY = "2024-01-01", "2025-12-31"
# What a genre gains in a month (1 to 12), in stars.
SEASONS = {
    "Horror": {9: 0.3, 10: 0.8},
    "Family": {12: 0.7},
    "Musical": {11: 0.3, 12: 0.5},
    "Romance": {2: 0.7},
    "Action": {6: 0.3, 7: 0.5, 8: 0.4},
    "Comedy": {7: 0.3, 8: 0.3},
    "Drama": {1: 0.4, 11: 0.3},
}

Doubles = npt.NDArray[np.float64]


class World(NamedTuple):
    """Events, and what they were made of.

    Attributes
    ----------
    events : columns time, user, movie, year, genres (a list), visits (how many ratings the user had given before) and
        rating, in the order of the times
    movies : columns movie, year, genres: one row for each
    tastes : (users, genres), in stars, by name
    seasons : (months, genres), in stars
    """

    events: pd.DataFrame
    movies: pd.DataFrame
    tastes: pd.DataFrame
    seasons: Doubles


def world(users: int = USERS, movies: int = MOVIES, events: int = EVENTS, seed: int = SEED) -> World:
    """A world of so many users, movies and events; the same one for the same numbers."""
    rng = np.random.default_rng(seed)
    films, member = _movies(rng, movies)
    names = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    people = rng.permutation(names)[:users]
    tastes = _tastes(rng, users)
    seasons = np.zeros((MONTHS, len(GENRES)))
    for genre, gains in SEASONS.items():
        for month, gain in gains.items():
            seasons[month - 1, GENRES.index(genre)] = gain
    shares = member / np.sqrt(member.sum(1, keepdims=True))
    liking = tastes @ shares.T
    user, movie = _pairs(rng, liking, events)
    times = _times(rng, user, users)
    order = np.argsort(times, kind="stable")
    user, movie, times = user[order], movie[order], times[order]
    visits = pd.Series(user).groupby(user).cumcount().to_numpy()
    month = pd.DatetimeIndex(times).month.to_numpy() - 1
    stars = (
        MEAN
        + rng.normal(0.0, USER_STD, users)[user]
        + rng.normal(0.0, MOVIE_STD, movies)[movie]
        + liking[user, movie]
        + np.einsum("ij,ij->i", seasons[month], shares[movie])
        + NEWCOMER * np.exp(-visits / VISITS)
        + rng.normal(0.0, NOISE_STD, user.size)
    )
    rows = films.iloc[movie].reset_index(drop=True)
    rows.insert(0, "time", times)
    rows.insert(1, "user", people[user])
    rows["visits"] = visits
    rows["rating"] = np.clip(np.round(2.0 * stars) / 2.0, LEAST, MOST)
    return World(rows, films, pd.DataFrame(tastes, people, GENRES), seasons)


def _movies(rng: np.random.Generator, count: int) -> tuple[pd.DataFrame, Doubles]:
    """Titles with years and one to three genres; and which movie is of which genre, 0 or 1."""
    member = np.zeros((count, len(GENRES)))
    titles: dict[str, tuple[int, list[str]]] = {}
    while len(titles) < count:
        genres = rng.choice(len(GENRES), rng.integers(1, 4), replace=False)
        adjectives, nouns = TITLES[GENRES[genres[0]]]
        words = {"adjective": rng.choice(adjectives), "noun": rng.choice(nouns), "place": rng.choice(PLACES)}
        year = int(2024 - rng.geometric(0.06) % 70)
        title = re.sub(r"\bA (?=[AEIOU])", "An ", f"{rng.choice(PATTERNS).format(**words)} ({year})")
        if title not in titles:
            member[len(titles), genres] = 1.0
            titles[title] = year, [GENRES[genre] for genre in genres]
    rows = [(title, year, genres) for title, (year, genres) in titles.items()]
    return pd.DataFrame(rows, columns=["movie", "year", "genres"]), member


def _tastes(rng: np.random.Generator, users: int) -> Doubles:
    """Each user loves two genres, dislikes two, and has a mild opinion of the others."""
    tastes = rng.normal(0.0, TASTE_STD, (users, len(GENRES)))
    for row in tastes:
        extremes = rng.choice(len(GENRES), 4, replace=False)
        row[extremes] = LOVED * np.array([1.0, 0.8, -1.0, -0.8])
    return tastes


def _pairs(rng: np.random.Generator, liking: Doubles, events: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Pairs (user, movie), each once at most: popular movies, and those that a user likes, most often."""
    users, movies = liking.shape
    activity = 1.0 / (30.0 + np.arange(users))
    popularity = rng.permutation(1.0 / (15.0 + np.arange(movies)))
    chances = np.outer(activity, popularity) * np.exp(0.5 * liking)
    pairs = rng.choice(liking.size, events, replace=False, p=(chances / chances.sum()).ravel())
    user, movie = np.divmod(pairs, movies)
    return user, movie


def _times(rng: np.random.Generator, user: npt.NDArray[np.int64], users: int) -> npt.NDArray[np.datetime64]:
    """A time for each event, in seconds: from the user's first day to the last of all, in the evening mostly."""
    first, last = (np.datetime64(day, "D") for day in (FIRST_DAY, LAST_DAY))
    days = int((last - first).astype(int))
    joined = rng.integers(0, days // 2, users)[user]
    day = joined + np.floor(rng.random(user.size) * (days + 1 - joined)).astype(np.int64)
    second = np.clip(rng.normal(19.5, 3.0, user.size), 0.0, 23.99) * 3600.0
    return (first + day).astype("datetime64[s]") + second.astype(np.int64)

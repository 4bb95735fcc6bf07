"""Ratings from a seeded generator, for the demo: as sparse as real ones, with tastes that only pairs explain."""

import numpy as np
import pandas as pd

SEED = 2010
ROWS = 20_000
USERS, MOVIES, TASTES = 600, 400, 4
MEAN, USER_STD, MOVIE_STD, TASTE_STD, NOISE_STD = 3.4, 0.3, 0.4, 0.7, 0.7
LEAST, MOST = 0.5, 5.0


def generated_ratings() -> pd.DataFrame:
    """The columns user, movie, rating: half stars from 0.5 to 5, each pair once at most, popular movies most often.

    rating = mean + user's bias + movie's bias + <user's tastes, movie's traits> + noise
    """
    rng = np.random.default_rng(SEED)
    user_bias, movie_bias = rng.normal(0.0, USER_STD, USERS), rng.normal(0.0, MOVIE_STD, MOVIES)
    tastes, traits = (rng.normal(0.0, 1.0, (size, TASTES)) for size in (USERS, MOVIES))
    popularity = 1.0 / (10.0 + np.arange(MOVIES))
    activity = 1.0 / (20.0 + np.arange(USERS))
    chances = np.outer(activity / activity.sum(), popularity / popularity.sum()).ravel()
    pairs = rng.choice(USERS * MOVIES, ROWS, replace=False, p=chances)
    user, movie = np.divmod(pairs, MOVIES)
    taste = TASTE_STD / np.sqrt(TASTES) * np.einsum("ij,ij->i", tastes[user], traits[movie])
    stars = MEAN + user_bias[user] + movie_bias[movie] + taste + rng.normal(0.0, NOISE_STD, ROWS)
    rating = np.clip(np.round(2.0 * stars) / 2.0, LEAST, MOST)
    ratings: pd.DataFrame = pd.DataFrame({"user": user, "movie": movie, "rating": rating})
    return ratings

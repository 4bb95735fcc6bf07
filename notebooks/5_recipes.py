# Databricks notebook source
# MAGIC %md
# MAGIC # Recipes: one model, the models of the literature
# MAGIC A Factorization Machine becomes matrix factorization, SVD++, a model of attributes, of time or of sequences by the
# MAGIC fields that it is given. This tutorial makes events, adds one thing after the other, and looks at what each is
# MAGIC worth. The formulas are in `docs/recipes.md`.
# MAGIC
# MAGIC A Databricks notebook in source form (import it into a workspace, or run it as plain Python).

# COMMAND ----------

import numpy as np
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm import FMRegressor
from spark_fm.evaluation import timeSplit
from spark_fm.feature import FieldEncoder, categorical, numeric, set_of
from spark_fm.recipes import daysSinceFirst, lastItem, ratedItems

spark = SparkSession.builder.getOrCreate()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Events
# MAGIC 80 users watch films, a few a week. What a rating depends on: how generous the user is and how good the film is;
# MAGIC whether the user likes its genres; how long the user has been here, as everybody gets stricter; and whether the
# MAGIC film before had the same main genre, which bores. The noise is 0.3.

# COMMAND ----------

GENRES = ["Drama", "Comedy", "Noir", "Western", "Science fiction", "Documentary"]
USERS, FILMS, EACH, DAY = 80, 150, 45, 86400

draw = np.random.default_rng(0)
generous, good = draw.normal(0, 0.4, USERS), draw.normal(0, 0.3, FILMS)
taste = draw.normal(0, 0.6, (USERS, len(GENRES)))
genres = [draw.choice(len(GENRES), size=draw.integers(1, 4), replace=False) for _ in range(FILMS)]
events = []
for user in range(USERS):
    # Everybody watches what is liked more often: what somebody has rated tells of tastes, whatever the ratings.
    liking = np.exp([0.8 * taste[user, genres[film]].sum() for film in range(FILMS)])
    films = draw.choice(FILMS, size=EACH, replace=False, p=liking / liking.sum())
    days = draw.integers(0, 300) + np.cumsum(draw.exponential(8.0, EACH))
    for n, film in enumerate(films):
        z = 3.5 + generous[user] + good[film] + taste[user, genres[film]].sum() / len(genres[film])
        z -= 0.25 * np.log1p(days[n] - days[0]) / 2
        z -= 0.6 * (n > 0 and genres[films[n - 1]][0] == genres[film][0])
        events.append((f"user {user}", f"film {film}", [GENRES[g] for g in genres[film]], int(days[n] * DAY),
                       float(z + draw.normal(0, 0.3))))  # fmt: skip
columns = "user string, film string, genres array<string>, seconds bigint, label double"
events = spark.createDataFrame(events, columns)
events.show(3, truncate=False)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What a row may know
# MAGIC The last film and the days since a user's first rating look back only, so they are added to all events, before the
# MAGIC split. The split is by time: the first 80 % of each user's events train. What a user has rated is looked up in the
# MAGIC training rows, for both parts.

# COMMAND ----------

rows = events.withColumn("genre", F.col("genres")[0])
rows = lastItem(rows, "user", "genre", "seconds", outputCol="lastGenre")
rows = daysSinceFirst(rows, "user", "seconds")
before, after = timeSplit(rows, "seconds", [0.8, 0.2], userCol="user", apart=["label"])
train = ratedItems(before, "user", "film").persist()
test = ratedItems(after, "user", "film", history=before).persist()
print(f"{train.count()} ratings train, {test.count()} test")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The recipes
# MAGIC A recipe is a list of fields. The encoder learns their values from the training rows, the model their weights and
# MAGIC factors.

# COMMAND ----------

user, film = categorical("user"), categorical("film")
recipes = {
    "linear regression": [user, film],
    "biased MF": [user, film],
    "SVD++": [user, film, set_of("rated", value="1/sqrt(n)")],
    "attributes": [user, film, set_of("genres", value="1/n")],
    "attributes, time": [user, film, set_of("genres", value="1/n"), numeric("daysSinceFirst", transform="log1p")],
    "attributes, time, sequence": [
        user, film, set_of("genres", value="1/n"), numeric("daysSinceFirst", transform="log1p"),
        categorical("genre"), categorical("lastGenre", null="nothing"),
    ],
}  # fmt: skip


def fit(name):
    """The encoder and the model of a recipe."""
    encoder = FieldEncoder(fields=recipes[name]).fit(train)
    factors = 0 if name == "linear regression" else 8
    return encoder, FMRegressor(factorSize=factors, seed=1).fit(encoder.transform(train))


fitted = {name: fit(name) for name in recipes}

# COMMAND ----------

# MAGIC %md
# MAGIC Each thing that the ratings depend on, and that a field tells the model of, makes the predictions better. Linear
# MAGIC regression knows how generous users and how good films are, and nothing of who likes what.

# COMMAND ----------

rmse = {
    name: RegressionEvaluator().evaluate(model.transform(encoder.transform(test)))
    for name, (encoder, model) in fitted.items()
}
for name, error in rmse.items():
    print(f"{name:28} RMSE {error:.3f}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The same numbers by hand
# MAGIC The model of two fields *is* biased matrix factorization: w0 + b_u + b_i + <p_u, q_i>, with the parameters of the
# MAGIC user's and of the film's feature.

# COMMAND ----------

encoder, model = fitted["biased MF"]
row = model.transform(encoder.transform(test)).first()
number = {encoder.layout.label(i): i for i in range(encoder.numFeatures)}
u, i = number[f"user={row.user}"], number[f"film={row.film}"]
bias, factors = model.linear, model.factors.toArray()
by_hand = model.intercept + bias[u] + bias[i] + factors[u] @ factors[i]
print(f"{row.user}, {row.film}: {row.prediction:.6f} by the model, {by_hand:.6f} by hand")

# COMMAND ----------

# MAGIC %md
# MAGIC ## What the factors learned
# MAGIC Of the last recipe: how much a film's rating changes with the main genre of the film before, <v_last, v_genre>.
# MAGIC The events have -0.6 where both are the same.

# COMMAND ----------

encoder, model = fitted["attributes, time, sequence"]
number = {encoder.layout.label(i): i for i in range(encoder.numFeatures)}
factors = model.factors.toArray()
pairs = np.array(
    [[factors[number[f"lastGenre={a}"]] @ factors[number[f"genre={b}"]] for b in GENRES] for a in GENRES]
)
same = np.eye(len(GENRES), dtype=bool)
print(f"the same genre again: {pairs[same].mean():+.2f}, another genre: {pairs[~same].mean():+.2f}")

# Databricks notebook source
# MAGIC %md
# MAGIC # 3 How the merge works
# MAGIC Many partitions train at the same time, each on its own rows, from the same parameters. Then what they have learned has
# MAGIC to become one model. This notebook shows why the mean of the parameters is not good enough, and what `spark_fm` does
# MAGIC instead; `docs/merge.md` derives it. The rounds run in this process, with the package's own step and merge, so
# MAGIC that 64 partitions need no cluster. It looks below the public classes: what is imported from `spark_fm.core` may change.

# COMMAND ----------

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from pyspark.sql import SparkSession

from spark_fm import FMRegressor
from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.measure import Totals, measure
from spark_fm.core.fm.scaling import FeatureCounts, FeatureScaling
from spark_fm.core.fm.settings import Scale, Settings
from spark_fm.core.fm.table import layout_of
from spark_fm.core.fm.weights import ParameterInit
from spark_fm.core.solver.adagrad import merge
from spark_fm.core.solver.adagrad.visit import train_pass
from spark_fm.core.solver.plan import Plan
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block

spark = SparkSession.builder.getOrCreate()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Ratings
# MAGIC 1,000 users, 300 films, 30,000 ratings: some 30 of a user. On 16 partitions a user has two rows in each. The noise is 0.5,
# MAGIC so no model has an RMSE far below that.

# COMMAND ----------

USERS, FILMS, ROWS = 1000, 300, 30_000
draw = np.random.default_rng(0)
user, film = draw.integers(0, USERS, ROWS), draw.integers(0, FILMS, ROWS)
tastes, traits = draw.normal(0, 0.8, (USERS, 3)), draw.normal(0, 0.8, (FILMS, 3))
label = draw.normal(0, 0.4, USERS)[user] + draw.normal(0, 0.4, FILMS)[film]
label += (tastes[user] * traits[film]).sum(axis=1) + draw.normal(0, 0.5, ROWS)
ids = np.column_stack([user, USERS + film])
is_test = draw.random(ROWS) < 0.1

settings = Settings(SQUARED, factor_size=8, reg_prior=0.1, adapt_prior=False)
mean, variance = label[~is_test].mean(), label[~is_test].var()
deviation = variance**0.5


def block(rows):
    """Rows in the form in which the package trains on them, labels in the units of training."""
    chosen = ids[rows].astype(np.int32)
    indptr = np.arange(0, chosen.size + 1, 2, dtype=np.int32)
    labels = ((label[rows] - mean) / deviation).astype(np.float32)
    return Block(indptr, chosen.ravel(), NO_FLOATS, labels, NO_FLOATS, NO_FLAGS, NO_FEATURES)


train_rows, test = np.flatnonzero(~is_test), block(np.flatnonzero(is_test))
counts = np.bincount(ids[train_rows].ravel(), minlength=USERS + FILMS).astype(np.float64)
features = np.arange(USERS + FILMS)

# COMMAND ----------

# MAGIC %md
# MAGIC ## A round
# MAGIC Each partition starts from the same parameters and takes AdaGrad steps, row by row. Two ways to make one model of what
# MAGIC comes back:
# MAGIC
# MAGIC - **The plain mean** of the changes. A user whose two rows lie in one of 16 partitions gets a sixteenth of what they said.
# MAGIC - **The merge** asks AdaGrad's accumulators how far each partition has come towards its own optimum. Where each has learned
# MAGIC   little, changes are added up; where each has learned all there is, they are averaged. What all features have in common
# MAGIC   moves every row, so it is always averaged.

# COMMAND ----------


def plain_mean(state, after, coupling):
    table = state.table + sum(table - state.table for table, _ in after) / len(after)
    intercept = state.intercept + sum(intercept - state.intercept for _, intercept in after) / len(after)
    return replace(state, table=table.astype(np.float32), intercept=intercept)


def this_merge(state, after, coupling):
    width = layout_of(state.table).factors
    sums = np.zeros((len(features), merge.sums_width(width, False)))
    centre, intercept = np.zeros(width + 3), np.zeros(3)
    for changed_table, changed_intercept in after:
        changed, packed, own_centre = merge.contributions(state.table, changed_table, coupling, False)
        merge.add_rows(sums, changed, packed)
        centre += own_centre
        intercept += merge.intercept_contributions(state.intercept, changed_intercept, coupling, False)
    table = state.table.copy()
    moved = merge.apply_merge(table, sums, coupling)
    merge.apply_centre(state.table, table, centre, moved)
    return replace(
        state, table=table, intercept=merge.apply_intercept_merge(state.intercept, intercept, coupling)
    )


EPOCHS = 40


def curve(rule, partitions, rounds):
    """The RMSE of the test rows after each epoch."""
    init = ParameterInit(settings, Scale.of(settings, 1.0, mean, variance, 2.0))
    counted = FeatureCounts(features, counts, np.ones(len(features)), np.zeros(len(features)))
    state = init.at(features, FeatureScaling.of(counted, len(train_rows), settings.centres), counts)
    order = np.random.default_rng(1).permutation(train_rows)
    chunks = [[block(rows) for rows in np.array_split(part, partitions)] for part in np.array_split(order, rounds)]
    plan, found = Plan(0, 0, True, settings.step_size, 1.0, 1.0, prior=settings.reg_prior), []
    for number in range(EPOCHS * rounds):
        plan = replace(plan, number=number, epochs=number / rounds)
        coupling = merge.Coupling.of(
            plan.step_size, 2.0, settings.factor_size, plan.scale, plan.epochs, plan.damping
        )
        after, visited = [], Totals()
        for partition, chunk in enumerate(chunks[number % rounds]):
            table, intercept = state.table.copy(), state.intercept.copy()
            random, rows = np.random.default_rng([number, partition]), np.arange(chunk.rows, dtype=np.int32)
            visited += train_pass(table, intercept, chunk, rows, plan, settings, random, 2.0)
            after.append((table, intercept))
        if partitions == 1:
            state = replace(state, table=after[0][0], intercept=after[0][1])
        else:
            state = rule(state, after, coupling)
        plan = replace(plan, scale=SQUARED.squared_gradients_for_curvature(visited.mean))
        if (number + 1) % rounds == 0:
            loss = measure(state.table, float(state.intercept[0]), test, np.arange(test.rows, dtype=np.int32), SQUARED)
            found.append((2 * loss.mean) ** 0.5 * deviation)
    return found


# COMMAND ----------

# MAGIC %md
# MAGIC ## The P-curve
# MAGIC The best RMSE over forty epochs, by the number P of partitions. Both rules merge eight times an epoch, as `fit` does; one
# MAGIC partition needs no merge. The factors start near 0, where they have hardly a gradient: divided by P, they take P times
# MAGIC as long to leave it. On few partitions the mean comes nearly as far, only later; on many it has hardly begun after forty
# MAGIC epochs.

# COMMAND ----------

PARTITIONS = [1, 2, 4, 8, 16, 32, 64]
curves = {
    rule.__name__.replace("_", " "): {p: curve(rule, p, rounds=8) for p in PARTITIONS} for rule in (this_merge, plain_mean)
}
best = {name: {p: min(found) for p, found in by.items()} for name, by in curves.items()}
for name, by in best.items():
    print(f"{name:11}", "  ".join(f"P={p}: {found:.3f}" for p, found in by.items()))

# COMMAND ----------

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for name, by in best.items():
    left.plot(list(by), list(by.values()), marker="o", label=name)
left.set_xscale("log", base=2)
left.set(xlabel="partitions", ylabel="best RMSE", title="The P-curve", xticks=PARTITIONS, xticklabels=PARTITIONS)
left.legend()
epochs = range(1, EPOCHS + 1)
for name, by in curves.items():
    for p, style in ((4, "--"), (16, "-")):
        right.plot(epochs, by[p], style, color="C0" if by is curves["this merge"] else "C1", label=f"{name}, P = {p}")
right.plot(epochs, curves["this merge"][1], color="grey", linestyle=":", label="P = 1")
right.set(xlabel="epoch", ylabel="RMSE", title="By epoch")
right.legend()
plt.show()

# COMMAND ----------

# MAGIC %md
# MAGIC ## The same through Spark
# MAGIC `numPartitions` sets P; by default `fit` takes as many as the work deserves, which is one here. A round is a Spark job. The
# MAGIC rows are dealt in another order, the prior is the default's and there are four merges an epoch, so the numbers agree
# MAGIC roughly, not exactly.

# COMMAND ----------

rows = list(zip(ids.tolist(), label.tolist(), is_test.tolist()))
ratings = spark.createDataFrame(rows, "features array<int>, label double, is_test boolean")
through_spark = {}
for partitions in (1, 4):
    estimator = FMRegressor(
        numPartitions=partitions, roundsPerEpoch=4, maxIter=12, validationIndicatorCol="is_test", seed=1
    )
    summary = estimator.fit(ratings).summary
    through_spark[partitions] = min(summary.validationLoss) ** 0.5
    print(f"P={summary.partitions}: best RMSE {through_spark[partitions]:.3f} in {summary.totalIterations} epochs")

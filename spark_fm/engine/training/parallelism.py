"""How the work is divided: one task or rounds, partitions, and merges per epoch."""

from spark_fm.core.fm.table import padded
from spark_fm.core.solver.adagrad.merge import packed_width
from spark_fm.engine.packing.statistics import Statistics
from spark_fm.engine.training.solver import Parallelism

SECONDS_A_FACTOR = 2e-9
SECONDS_A_TASK = 0.3
SECONDS_A_PRODUCT = 1.2e-9
SECONDS_A_FIELD = 0.3
LARGEST_IN_MEMORY = 2 * 2**30
FEWEST_ROWS_A_ROUND = 100
FEWEST_ROUNDS, MOST_ROUNDS = 8, 24
ROWS_OF_FEWEST_ROUNDS = 50_000
ROWS_A_PARTITION_OF_MORE = 15


def decide_partitions(statistics: Statistics, factor_size: int, most: int) -> int:
    """As many partitions as the work of an epoch deserves: one up to 0.3 s of one core's time."""
    width = max(padded(factor_size), 16)
    seconds = statistics.nonzeros * width * SECONDS_A_FACTOR
    return max(1, min(most, round(seconds / SECONDS_A_TASK)))


def decide_partitions_of_sampler(statistics: Statistics, factor_size: int, most: int) -> int:
    """As many partitions as drawing a field deserves: one up to so many seconds that Spark's job for it is worth it."""
    d = factor_size + 1
    seconds = statistics.training_rows * (d * (d + 1) / 2 + 4 * factor_size) * SECONDS_A_PRODUCT
    return max(1, min(most, round(seconds / SECONDS_A_FIELD)))


def decide_rounds(rows: float, partitions: int, effective: float = 1.0) -> int:
    """Merges per epoch: eight, as long as a partition's part of the rows has 100; one partition needs none.

    Partitions of fewer than 50,000 rows gain from more, up to 24, as long as a part has 15 rows for each partition:
    small parts of many partitions lose more by a noisy merge. Rows of uneven weights say as much as the ``effective``
    part of them.
    """
    if partitions == 1:
        return 1
    each = rows / partitions
    wanted = FEWEST_ROUNDS * ROWS_OF_FEWEST_ROUNDS / max(each * effective, 1.0)
    most = min(MOST_ROUNDS, each / (ROWS_A_PARTITION_OF_MORE * partitions))
    rounds = int(max(FEWEST_ROUNDS, min(wanted, most)))
    return max(1, min(rounds, int(each) // FEWEST_ROWS_A_ROUND))


def bytes_of_updates(
    features: int, nonzeros: int, parallelism: Parallelism, factor_size: int, weighted: bool
) -> int:
    """About how many bytes of updates the tasks of a round send: each those of the features that it meets."""
    met = min(features, nonzeros // (parallelism.partitions * parallelism.rounds_per_epoch))
    return parallelism.partitions * met * (packed_width(padded(factor_size), weighted) * 4 + 2)


def fits_in_memory(statistics: Statistics) -> bool:
    """Whether one task can hold all rows."""
    return statistics.nonzeros * 16 + statistics.rows * 44 < LARGEST_IN_MEMORY

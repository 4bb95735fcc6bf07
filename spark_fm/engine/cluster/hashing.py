"""Where Spark's hash partitioning puts integers: so that each task gets what is meant for it, and no task nothing."""

SEED = 42
BITS = 2**32 - 1


def _rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & BITS


def spark_hash(value: int) -> int:
    """What SQL's ``hash`` makes of an int: Murmur3 (A. Appleby) in 32 bits, signed."""
    mixed = _rotated(value * 0xCC9E2D51 & BITS, 15) * 0x1B873593 & BITS
    h = (_rotated(SEED ^ mixed, 13) * 5 + 0xE6546B64) & BITS
    h ^= 4
    h = (h ^ (h >> 16)) * 0x85EBCA6B & BITS
    h = (h ^ (h >> 13)) * 0xC2B2AE35 & BITS
    h ^= h >> 16
    return h - 2**32 if h >= 2**31 else h


def ints_by_partition(partitions: int) -> list[int]:
    """For each partition of ``repartition(partitions, column)`` an int that lands there, in their order."""
    found: dict[int, int] = {}
    value = 0
    while len(found) < partitions:
        found.setdefault(spark_hash(value) % partitions, value)
        value += 1
    return [found[partition] for partition in range(partitions)]

"""Normal numbers by counting: which they are depends on (seed, sweep, feature), not on who draws them."""

import numpy as np
import numpy.typing as npt

from spark_fm.core.compiled.compile import compiled

DoubleArray = npt.NDArray[np.float64]

STEP = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)
TO_UNIT = 2.0**-53


@compiled
def mixed(number: np.uint64) -> np.uint64:
    """A bijection of 64 bits in which every bit hangs on every other: SplitMix64 (G. Steele et al., OOPSLA 2014)."""
    z = number + STEP
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    made: np.uint64 = z ^ (z >> np.uint64(31))
    return made


@compiled
def stream(seed: int, sweep: int, place: int) -> np.uint64:
    """Where the numbers of a place (a feature's id) in a sweep begin."""
    return mixed(mixed(mixed(np.uint64(seed)) ^ np.uint64(sweep)) ^ np.uint64(place))


@compiled
def normals(begin: np.uint64, out: DoubleArray) -> None:
    """Fill ``out`` with independent standard normal numbers, by Box and Muller's transform of pairs."""
    for i in range(0, out.size, 2):
        first = mixed(begin + np.uint64(i) * STEP)
        second = mixed(begin + np.uint64(i + 1) * STEP)
        # In (0, 1]: the logarithm of 0 is none.
        radius = np.sqrt(-2.0 * np.log((float(first >> np.uint64(11)) + 1.0) * TO_UNIT))
        angle = 2.0 * np.pi * float(second >> np.uint64(11)) * TO_UNIT
        out[i] = radius * np.cos(angle)
        if i + 1 < out.size:
            out[i + 1] = radius * np.sin(angle)

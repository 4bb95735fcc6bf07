"""What a field's features have in common, the noise of the rows, and the intercept: drawn given all else."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DoubleArray = npt.NDArray[np.float64]

# Of the normal-gamma prior of a field's mean and strength, and of the gamma prior of the noise's precision: as much
# as one feature, or row, that one would expect.
COUNT = 1.0
SHAPE = 1.0
RATE = 1.0


@dataclass(frozen=True)
class FieldSums:
    """What a field's features say of their prior: how many they are, sums of theta and theta^2, float64 (d,)."""

    features: int
    total: DoubleArray
    squares: DoubleArray

    @classmethod
    def of(cls, theta: DoubleArray) -> "FieldSums":
        """Of parameters, float64 (features, d)."""
        return cls(theta.shape[0], theta.sum(axis=0), (theta * theta).sum(axis=0))


def draw_prior(sums: FieldSums, random: np.random.Generator) -> tuple[DoubleArray, DoubleArray]:
    """Mean and strength (precision) of each component of theta, float64 (d,): theta_i ~ N(mean, 1 / strength).

    From the normal-gamma posterior, of which the strength's margin is drawn first.
    """
    n = sums.features
    middle = sums.total / max(n, 1)
    spread = np.maximum(sums.squares - n * middle**2, 0.0)
    rate = RATE + spread + n * COUNT / (n + COUNT) * middle**2
    strength = random.gamma((SHAPE + n) / 2.0, 2.0 / rate)
    mean = random.normal(sums.total / (n + COUNT), 1.0 / np.sqrt((n + COUNT) * strength))
    return mean, strength


def draw_noise(weight: float, squares: float, random: np.random.Generator) -> float:
    """Alpha, the precision of a label, from rows of that weight in all and their weighted sum of squared residuals."""
    return float(random.gamma((SHAPE + weight) / 2.0, 2.0 / (RATE + squares)))


def draw_intercept(
    intercept: float, weight: float, residuals: float, noise: float, random: np.random.Generator
) -> float:
    """The intercept, of a standard normal prior, from the weighted sum of the residuals y - z."""
    precision = 1.0 + noise * weight
    mean = noise * (residuals + intercept * weight) / precision
    return float(random.normal(mean, 1.0 / np.sqrt(precision)))

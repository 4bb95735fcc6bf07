"""Whether chains have met: split R-hat (A. Gelman et al., Bayesian Data Analysis, 3rd ed., section 11.4)."""

import math

import numpy as np
import numpy.typing as npt

# A loss that falls by more than this part from a quarter of the sweeps to the next is still falling.
STILL_FALLING = 0.1


def r_hat(draws: npt.NDArray[np.floating]) -> float:
    """How much wider the draws of all chains are than those within half a chain; near 1 where chains have met.

    Parameters
    ----------
    draws : (chains, n) or (chains, n, rows), of which variances are summed over the rows

    Returns
    -------
    Not a number for fewer than four draws, or where nothing varies.
    """
    half = draws.shape[1] // 2
    if half < 2 or not draws.size:
        return math.nan
    halves = np.concatenate([draws[:, :half], draws[:, -half:]]).astype(np.float64)
    within = float(halves.var(axis=1, ddof=1).mean())
    between = float(halves.mean(axis=1).var(axis=0, ddof=1).mean())
    if within == 0.0:
        return math.inf if between > 0.0 else math.nan
    return math.sqrt((half - 1) / half + between / within)


def is_still_falling(losses: npt.NDArray[np.floating]) -> bool:
    """Whether the last quarter of the sweeps has a loss that is much lower than that of the quarter before.

    Parameters
    ----------
    losses : (chains, sweeps)
    """
    quarter = losses.shape[1] // 4
    if not quarter:
        return False
    each = losses.mean(axis=0)
    before, last = each[-2 * quarter : -quarter].mean(), each[-quarter:].mean()
    return bool(last < (1.0 - STILL_FALLING) * before)

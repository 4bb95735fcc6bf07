"""Whether chains have met: split R-hat (A. Gelman et al., Bayesian Data Analysis, 3rd ed., section 11.4)."""

import numpy as np
import numpy.typing as npt


def r_hat(draws: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """How much wider the draws of all chains are than those within half a chain; near 1 where chains have met.

    Parameters
    ----------
    draws : (chains, n, ...)

    Returns
    -------
    float64 (...); not a number for fewer than four draws, or where nothing varies.
    """
    half = draws.shape[1] // 2
    if half < 2:
        return np.full(draws.shape[2:], np.nan)
    halves = np.concatenate([draws[:, :half], draws[:, -half:]]).astype(np.float64)
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt((half - 1) / half + between / within))

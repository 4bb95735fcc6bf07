"""The mathematics of a Factorization Machine: numpy and numba only, no Spark."""

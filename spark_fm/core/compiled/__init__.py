"""Compiling with numba."""

"""Reproducible comparisons: each module is a command, results are tables."""

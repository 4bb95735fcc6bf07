"""Sparse rows: blocks of them, and the features that occur in them."""

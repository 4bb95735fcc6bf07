"""Spark plumbing: knows DataFrames and bytes, no formula."""

"""The best items of each context: two DataFrames and a model to lists of recommendations."""

"""The Factorization Machine: its table of parameters, its weights, losses and settings."""

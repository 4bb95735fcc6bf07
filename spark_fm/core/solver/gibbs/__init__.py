"""Block Gibbs sampling: the posterior mean of a Factorization Machine, as a Factorization Machine."""

"""The paper's own input: the embedding itself, bound to one encoder (Xing et al. 2021)."""

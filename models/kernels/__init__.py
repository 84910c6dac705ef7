"""What torch and numpy cannot express well on a CPU, as loops that numba compiles.

Each kernel does what a function on tensors elsewhere in `models` defines; tests hold them equal.
"""

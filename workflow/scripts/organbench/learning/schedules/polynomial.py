"""Polynomial decay to 0, as in nnU-Net.

In methods.md: then decayed polynomially (exponent 0.9).
"""


def schedule(done: float) -> float:
    """What is left of the learning rate."""
    return float((1 - done) ** 0.9)

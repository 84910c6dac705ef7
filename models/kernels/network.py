"""The three small networks on the CPU, by tiles of rows whose hidden layers stay in fast caches.

A tile holds one input of `ROWS` rows after the other.
"""

from typing import Any

import numpy as np

from models.kernels.compiled import Array, compiled
from models.kernels.lanes import LANES, load, multiply_add, spread, store

# Rows of a tile.
ROWS = 128
# Hidden units are taken four by four.
UNROLLED = 4

# GELU is x Phi(x). Up to |x| = 5, Phi(x) = .5 + x g(u) with u = 2 x^2 / 25 - 1 in [-1, 1]; g is
# the polynomial by whose falling coefficients x Phi(x) is off least at most, by 1e-6.
_FAR = np.float32(5)
_TO_UNIT = np.float32(2 / 25)
_HALF, _UNIT = np.float32(0.5), np.float32(1)
_SLOPE = tuple(
    np.float32(coefficient)
    for coefficient in (
        0.00049295894,
        -0.0015141496,
        0.0020018872,
        -0.0029156825,
        0.0061654053,
        -0.010973224,
        0.016497668,
        -0.023336733,
        0.031426229,
        -0.040432949,
        0.051521420,
        -0.070296653,
        0.14136378,
    )
)


@compiled
def answer_rows(
    x: Array,
    mean: Array,
    scale: Array,
    clip: float,
    layers: tuple[Array, ...],
    out: Array,
) -> None:
    """Sigmoid of the logits of the rows x [e, f] into `out` [e].

    logit = w3 gelu(W2 gelu(W1 clip((x - mean) / scale) + b1) + b2) + b3 with `layers` (W1 [f, h],
    b1 [h], W2 [h, h], b2 [h], w3 [h], b3 [1]): inputs x outputs, h a multiple of `UNROLLED`. GELU
    is right to 1e-5.
    """
    first, bias_1, second, bias_2, third, bias_3 = layers
    tile = np.zeros(len(mean) * ROWS, np.float32)
    one, two = np.empty(len(bias_1) * ROWS, np.float32), np.empty(len(bias_2) * ROWS, np.float32)
    for begin in range(0, len(x), ROWS):
        end = min(begin + ROWS, len(x))
        _standardise(x[begin:end], mean, scale, np.float32(clip), tile)
        _apply(first, bias_1, tile, one)
        _bend(one)
        _apply(second, bias_2, one, two)
        _bend(two)
        _decide(two, third, bias_3[0], out[begin:end])


@compiled
def _standardise(x: Any, mean: Any, scale: Any, clip: Any, tile: Any) -> None:
    """Turn the rows x [at most `ROWS`, f] into columns of `tile`."""
    for e in range(len(x)):
        for f in range(len(mean)):
            tile[f * ROWS + e] = x[e, f]
    for f in range(len(mean)):
        shift, factor = mean[f], _UNIT / scale[f]
        column = tile[f * ROWS : (f + 1) * ROWS]
        for t in range(len(column)):
            column[t] = min(max((column[t] - shift) * factor, -clip), clip)


@compiled
def _apply(weight: Any, bias: Any, tile: Any, out: Any) -> None:
    """W tile + b: four outputs of 32 rows are eight sums, which stay in registers."""
    for t in range(0, ROWS, 2 * LANES):
        for o in range(0, len(bias), UNROLLED):
            a, b, c, d = (
                spread(bias[o]),
                spread(bias[o + 1]),
                spread(bias[o + 2]),
                spread(bias[o + 3]),
            )
            a_2, b_2, c_2, d_2 = a, b, c, d
            for k in range(len(weight)):
                x, x_2 = load(tile, k * ROWS + t), load(tile, k * ROWS + t + LANES)
                w = spread(weight[k, o])
                a, a_2 = multiply_add(w, x, a), multiply_add(w, x_2, a_2)
                w = spread(weight[k, o + 1])
                b, b_2 = multiply_add(w, x, b), multiply_add(w, x_2, b_2)
                w = spread(weight[k, o + 2])
                c, c_2 = multiply_add(w, x, c), multiply_add(w, x_2, c_2)
                w = spread(weight[k, o + 3])
                d, d_2 = multiply_add(w, x, d), multiply_add(w, x_2, d_2)
            _put(out, o * ROWS + t, a, a_2)
            _put(out, (o + 1) * ROWS + t, b, b_2)
            _put(out, (o + 2) * ROWS + t, c, c_2)
            _put(out, (o + 3) * ROWS + t, d, d_2)


@compiled
def _put(out: Any, at: int, lanes: Any, lanes_2: Any) -> None:
    store(out, at, lanes)
    store(out, at + LANES, lanes_2)


@compiled
def _bend(h: Any) -> None:
    """GELU in place."""
    for t in range(len(h)):
        x = h[t]
        near = min(max(x, -_FAR), _FAR)
        u = near * near * _TO_UNIT - _UNIT
        g = _SLOPE[0]
        for coefficient in _SLOPE[1:]:
            g = g * u + coefficient
        h[t] = x * (_HALF + near * g)


@compiled
def _decide(h: Any, weight: Any, bias: Any, out: Any) -> None:
    for t in range(len(out)):
        out[t] = bias
    for unit in range(len(weight)):
        line = h[unit * ROWS : (unit + 1) * ROWS]
        for t in range(len(out)):
            out[t] += weight[unit] * line[t]
    for t in range(len(out)):
        out[t] = _UNIT / (_UNIT + np.exp(-out[t]))

"""The three small networks on the CPU, by tiles of rows whose hidden layers stay in fast caches.

A tile holds one input of `_ROWS` rows after the other. Places in it are unsigned, since a loop over
numbers that might be negative is not compiled to whole registers.
"""

from typing import Any

import numpy as np

from models.kernels.compiled import Array, compiled

_U = np.uint64
_ROWS = _U(128)
_ZERO, _ONE, _TWO, _THREE = _U(0), _U(1), _U(2), _U(3)
_SECOND, _THIRD, _FOURTH = _U(128), _U(256), _U(384)
# Inputs and hidden units are taken four by four.
UNROLLED = 4
_FOUR = _U(UNROLLED)

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
    start: int,
    stop: int,
    mean: Array,
    scale: Array,
    clip: float,
    layers: tuple[Array, ...],
    out: Array,
) -> None:
    """Sigmoid of the logits of the rows `start`..`stop` of x [e, f] into `out` [e].

    logit = w3 gelu(W2 gelu(W1 clip((x - mean) / scale) + b1) + b2) + b3 with `layers` (W1 [h, f'],
    b1 [h], W2 [h, h], b2 [h], w3 [h], b3 [1]) of which h and f' are multiples of `UNROLLED`;
    columns of W1 from f on are zero. GELU is right to 1e-5.
    """
    rows = np.int64(_ROWS)
    first, bias_1, second, bias_2, third, bias_3 = layers
    tile = np.zeros(first.shape[1] * rows, np.float32)
    one, two = np.empty(len(bias_1) * rows, np.float32), np.empty(len(bias_2) * rows, np.float32)
    for begin in range(start, stop, rows):
        end = min(begin + rows, stop)
        _standardise(x[begin:end], mean, scale, clip, tile)
        _apply(first, bias_1, tile, one)
        _bend(one)
        _apply(second, bias_2, one, two)
        _bend(two)
        _decide(two, third, bias_3[0], out[begin:end])


@compiled
def _standardise(x: Any, mean: Any, scale: Any, clip: float, tile: Any) -> None:
    """Turn the rows x [at most `_ROWS`, f] into columns of `tile`."""
    far = np.float32(clip)
    inputs = _U(len(mean))
    for e in range(_ZERO, _U(len(x))):
        for f in range(_ZERO, inputs):
            tile[f * _ROWS + e] = x[e, f]
    for f in range(_ZERO, inputs):
        shift, factor = mean[f], _UNIT / scale[f]
        for t in range(_ZERO, _ROWS):
            value = (tile[f * _ROWS + t] - shift) * factor
            tile[f * _ROWS + t] = min(max(value, -far), far)


@compiled
def _apply(weight: Any, bias: Any, tile: Any, out: Any) -> None:
    """W tile + b, four outputs by four inputs at once: what they share is loaded once."""
    for o in range(_ZERO, _U(len(bias)), _FOUR):
        for unit in range(o, o + _FOUR):
            for t in range(_ZERO, _ROWS):
                out[unit * _ROWS + t] = bias[unit]
        for k in range(_ZERO, _U(weight.shape[1]), _FOUR):
            _add_product(
                (weight[o], weight[o + _ONE], weight[o + _TWO], weight[o + _THREE]),
                k,
                tile,
                out,
                o * _ROWS,
            )


@compiled
def _add_product(weight: Any, k: Any, tile: Any, out: Any, to: Any) -> None:
    a, b, c, d = weight
    a0, a1, a2, a3 = a[k], a[k + _ONE], a[k + _TWO], a[k + _THREE]
    b0, b1, b2, b3 = b[k], b[k + _ONE], b[k + _TWO], b[k + _THREE]
    c0, c1, c2, c3 = c[k], c[k + _ONE], c[k + _TWO], c[k + _THREE]
    d0, d1, d2, d3 = d[k], d[k + _ONE], d[k + _TWO], d[k + _THREE]
    at = k * _ROWS
    for t in range(_ZERO, _ROWS):
        x0, x1 = tile[at + t], tile[at + _SECOND + t]
        x2, x3 = tile[at + _THIRD + t], tile[at + _FOURTH + t]
        out[to + t] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
        out[to + _SECOND + t] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
        out[to + _THIRD + t] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
        out[to + _FOURTH + t] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


@compiled
def _bend(h: Any) -> None:
    """GELU in place."""
    for t in range(_ZERO, _U(len(h))):
        x = h[t]
        near = min(max(x, -_FAR), _FAR)
        u = near * near * _TO_UNIT - _UNIT
        g = _SLOPE[0]
        for coefficient in _SLOPE[1:]:
            g = g * u + coefficient
        h[t] = x * (_HALF + near * g)


@compiled
def _decide(h: Any, weight: Any, bias: Any, out: Any) -> None:
    rows = np.int64(_ROWS)
    for t in range(len(out)):
        out[t] = bias
    for unit in range(len(weight)):
        for t in range(len(out)):
            out[t] += weight[unit] * h[unit * rows + t]
    for t in range(len(out)):
        out[t] = np.float32(1) / (np.float32(1) + np.exp(-out[t]))

"""Sixteen float32 side by side, which a kernel keeps in registers over a loop of its own.

A compiler finds such registers by itself only where nothing is carried from one turn to the next.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

LANES = 16

_VECTOR: Any = ir.VectorType(ir.FloatType(), LANES)
_UNDEFINED: Any = ir.Constant(_VECTOR, ir.Undefined)
_FIRST: Any = ir.Constant(ir.IntType(32), 0)
_ALL_FIRST: Any = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
_FLOAT_BYTES = 4


class _LanesType(types.Type):
    """What numba calls them."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


_LANES = _LanesType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    start = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [index]), _VECTOR.as_pointer())


def _load(_typing: Any, array: Any, _index: Any) -> Any:
    """The sixteen of a contiguous float32 array [n] from `index` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.load(address, align=_FLOAT_BYTES)

    return _LANES(array, types.intp), generate


def _store(_typing: Any, array: Any, _index: Any, _lanes: Any) -> Any:
    """Write sixteen into a contiguous float32 array [n] from `index` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store(arguments[2], address, align=_FLOAT_BYTES)
        return context.get_dummy_value()

    return types.void(array, types.intp, _LANES), generate


def _spread(_typing: Any, _value: Any) -> Any:
    """One float32 sixteen times."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        one = builder.insert_element(_UNDEFINED, arguments[0], _FIRST)
        return builder.shuffle_vector(one, _UNDEFINED, _ALL_FIRST)

    return _LANES(types.float32), generate


def _multiply_add(_typing: Any, _a: Any, _b: Any, _c: Any) -> Any:
    """The sums a b + c."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        a, b, c = arguments
        product = builder.fmul(a, b, flags=("contract",))
        return builder.fadd(product, c, flags=("contract",))

    return _LANES(_LANES, _LANES, _LANES), generate


load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
spread: Any = intrinsic(_spread)
multiply_add: Any = intrinsic(_multiply_add)

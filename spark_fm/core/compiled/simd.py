"""Vectors of eight float32 for numba kernels, and a prefetch.

numba leaves vectorising to LLVM, which gives up on short inner loops whose arrays may overlap: exactly
the loops over the factors of one feature. These intrinsics say what is meant. LLVM lowers them
to the widest instructions that the processor has (one AVX register, or two of SSE or NEON).
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 8
_FLOAT = ir.FloatType()
_INT = ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)


class Float32x8(types.Type):
    """The numba type of eight float32 side by side."""

    def __init__(self) -> None:
        super().__init__(name="float32x8")


float32x8 = Float32x8()


@register_model(Float32x8)
class _Float32x8Model(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _VECTOR)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    shape = cgutils.unpack_tuple(builder, view.shape)
    strides = cgutils.unpack_tuple(builder, view.strides)
    return cgutils.get_item_pointer2(context, builder, view.data, shape, strides, array_type.layout, index)


@intrinsic
def load8(_: Any, array: Any, row: Any, column: Any) -> Any:
    """``array[row, column:column+8]`` of a 2-d float32 array, without a bounds check."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1:])
        value = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()))
        value.align = 4
        return value

    return float32x8(array, types.intp, types.intp), generate


@intrinsic
def store8(_: Any, array: Any, row: Any, column: Any, value: Any) -> Any:
    """``array[row, column:column+8] = value`` of a 2-d float32 array, without a bounds check."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1:3])
        store = builder.store(args[3], builder.bitcast(pointer, _VECTOR.as_pointer()))
        store.align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, float32x8), generate


@intrinsic
def prefetch(_: Any, array: Any, row: Any, column: Any) -> Any:
    """Ask the processor to bring the cache line of ``array[row, column]`` for writing."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1:])
        bytes_pointer = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [bytes_pointer, _INT, _INT, _INT]),
            "llvm.prefetch.p0",
        )
        for_writing, keep_close, data = _INT(1), _INT(3), _INT(1)
        builder.call(function, [builder.bitcast(pointer, bytes_pointer), for_writing, keep_close, data])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


def _binary(instruction: str) -> Callable[..., Any]:
    @intrinsic
    def operation(_: Any, left: Any, right: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(args[0], args[1], flags=("fast",))

        return float32x8(float32x8, float32x8), generate

    return operation


add8 = _binary("fadd")
sub8 = _binary("fsub")
mul8 = _binary("fmul")


@intrinsic
def splat8(_: Any, value: Any) -> Any:
    """Eight copies of one float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(undefined, args[0], _INT(0))
        lanes = ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES)
        return builder.shuffle_vector(first, undefined, lanes)

    return float32x8(types.float32), generate


@intrinsic
def sum8(_: Any, value: Any) -> Any:
    """The sum of the eight lanes, a float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR]),
            "llvm.vector.reduce.fadd.v8f32",
        )
        return builder.call(function, [_FLOAT(0.0), args[0]], fastmath=("fast",))

    return types.float32(float32x8), generate

"""Instructions that Python has no name for, and one system call."""

from __future__ import annotations

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for the cache line of ``array[index]``; harmless beyond the end."""

    def codegen(context, builder, signature, args):
        struct = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0])
        pointer = builder.gep(struct.data, [args[1]])
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        declared = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        )
        arguments = [builder.bitcast(pointer, byte), *(ir.Constant(word, k) for k in (0, 3, 1))]
        builder.call(declared, arguments)
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def cycles(typingctx):
    """Return a counter that advances at a constant rate."""

    def codegen(context, builder, signature, args):
        declared = builder.module.declare_intrinsic(
            "llvm.readcyclecounter", [], ir.FunctionType(ir.IntType(64), [])
        )
        return builder.call(declared, [])

    return types.int64(), codegen


@intrinsic
def count_bits(typingctx, word):
    """Return the number of bits of a uint64 that are set."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen


@intrinsic
def yield_core(typingctx):
    """Let another thread have the core, if one waits for it."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), codegen


def _place(context, builder, kind, array, index):
    """Return the pointer to ``array[index]``."""
    struct = cgutils.create_struct_proxy(kind)(context, builder, value=array)
    return builder.gep(struct.data, [index])


def _changed(array, operation):
    """Return code that changes ``array[index]`` at once, and returns what was there before."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, array, *args[:2])
        return builder.atomic_rmw(operation, place, args[2], "acq_rel")

    return types.int64(array, types.intp, types.int64), codegen


@intrinsic
def load(typingctx, array, index):
    """Return ``array[index]`` of an int64 array, with all that was stored before it was."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(_place(context, builder, array, *args), "acquire", 8)

    return types.int64(array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, value):
    """Set ``array[index]`` of an int64 array; who loads it sees all that was stored before."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, array, *args[:2])
        builder.store_atomic(args[2], place, "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), codegen


@intrinsic
def add(typingctx, array, index, value):
    """Add to ``array[index]`` of an int64 array; return what was there before."""
    return _changed(array, "add")


@intrinsic
def exchange(typingctx, array, index, value):
    """Set ``array[index]`` of an int64 array; return what was there before."""
    return _changed(array, "xchg")


@intrinsic
def replace(typingctx, array, index, expected, value):
    """Set ``array[index]`` of an int64 array if it is as expected; return what was there."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, array, *args[:2])
        pair = builder.cmpxchg(place, args[2], args[3], "acq_rel", "acquire")
        return builder.extract_value(pair, 0)

    return types.int64(array, types.intp, types.int64, types.int64), codegen


@intrinsic
def call_update(
    typingctx, address, n, numbers, first_number, values, first_value, states, first_state, waiting,
    begin, duration, arrived, first_input, input_size, spiked,
):  # fmt: skip
    """Call the compiled update of a model, see `simcore.kernels.cpu.models`, at an address."""
    kinds = (
        address, n, numbers, first_number, values, first_value, states, first_state, waiting, begin,
        duration, arrived, first_input, input_size, spiked,
    )  # fmt: skip
    return types.void(*kinds), _calling_update


@intrinsic
def call_drawing_update(
    typingctx, address, n, numbers, first_number, values, first_value, states, first_state, waiting,
    begin, duration, arrived, first_input, input_size, spiked, seed, step, gids,
):  # fmt: skip
    """Call that of a model that draws random numbers."""
    kinds = (
        address, n, numbers, first_number, values, first_value, states, first_state, waiting, begin,
        duration, arrived, first_input, input_size, spiked, seed, step, gids,
    )  # fmt: skip
    return types.void(*kinds), _calling_update


def _calling_update(context, builder, signature, args):
    """Write the call of a model's update, with the arguments that its signature has."""

    def place(array, index):
        return _place(context, builder, signature.args[array], args[array], args[index])

    arguments = [
        args[1], place(2, 3), place(4, 5), place(6, 7), place(8, 9), args[10], place(11, 12),
        args[13], place(14, 9),
    ]  # fmt: skip
    if len(args) > 15:
        arguments += [args[15], args[16], place(17, 9)]
    kind = ir.FunctionType(ir.VoidType(), [a.type for a in arguments])
    assert args[0].type == ir.IntType(64)
    builder.call(builder.inttoptr(args[0], kind.as_pointer()), arguments)
    return context.get_dummy_value()

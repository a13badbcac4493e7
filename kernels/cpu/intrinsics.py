"""Instructions that Python has no name for."""

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

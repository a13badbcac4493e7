// The kernels of simcore as a library for the CPU

#include "emulation.hpp"

#include "advance.cu"

extern "C" void launch_advance(
    int64 n_blocks, int64 n_threads, const Machine *machine, int64 begin, int64 end,
    int64 origin, const int64 *remote, int64 n_remote) {
    emulation::launch((unsigned)n_blocks, (unsigned)n_threads, [&] {
        advance_epoch(machine, begin, end, origin, remote, n_remote);
    });
}

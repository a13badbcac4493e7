// The kernels of simcore as a library for the CPU

#include "emulation.hpp"

#include "advance.cu"

extern "C" int64 machine_bytes() { return sizeof(Machine); }
extern "C" int64 drawing_bytes() { return sizeof(Drawing); }
extern "C" int64 filing_bytes() { return sizeof(Filing); }

extern "C" void draw(
    int64 puts, int64 n_blocks, int64 n_threads, const Drawing *drawing, const Filing *filing) {
    emulation::launch((unsigned)n_blocks, (unsigned)n_threads, 0, [&] {
        (puts ? put_synapses : count_synapses)(*drawing, *filing);
    });
}

extern "C" void launch(
    int64 team, int64 n_blocks, int64 n_threads, int64 shared_bytes, const Machine *machine,
    Report *report, int64 origin, int64 end, int64 remote_origin, const int64 *remote,
    int64 n_remote) {
    emulation::launch((unsigned)n_blocks, (unsigned)n_threads, (size_t)shared_bytes, [&] {
        (team ? advance_team : advance_grid)(
            *machine, report, origin, end, remote_origin, remote, n_remote);
    });
}

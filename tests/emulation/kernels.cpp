// The kernels of simcore as a library for the CPU

#include "emulation.hpp"

#include "advance.cu"

extern "C" int64 shard_bytes() { return sizeof(DeviceShard); }
extern "C" int64 drawing_bytes() { return sizeof(Drawing); }
extern "C" int64 listing_bytes() { return sizeof(Listing); }
extern "C" int64 filing_bytes() { return sizeof(Filing); }

template <typename Kernel> void run(int64 n_blocks, int64 n_threads, Kernel kernel) {
    emulation::launch((unsigned)n_blocks, (unsigned)n_threads, 0, kernel);
}

extern "C" void run_drawn(
    int64 puts, int64 n_blocks, int64 n_threads, const Drawing *drawing, const Filing *filing) {
    run(n_blocks, n_threads, [&] { (puts ? put_drawn : count_drawn)(*drawing, *filing); });
}

extern "C" void run_listed(
    int64 puts, int64 n_blocks, int64 n_threads, const Listing *listing, const Filing *filing) {
    run(n_blocks, n_threads, [&] { (puts ? put_listed : count_listed)(*listing, *filing); });
}

extern "C" void run_sum_groups(
    int64 n_blocks, int64 n_threads, const uint32 *counts, uint64 *groups, int64 n_groups) {
    run(n_blocks, n_threads, [&] { sum_groups(counts, groups, n_groups); });
}

extern "C" void run_begin_rows(
    int64 n_blocks, int64 n_threads, const uint32 *counts, const uint64 *groups, int64 n_groups,
    uint32 *rows, int64 all) {
    run(n_blocks, n_threads, [&] { begin_rows(counts, groups, n_groups, rows, all); });
}

extern "C" void launch(
    int64 team, int64 n_blocks, int64 n_threads, int64 shared_bytes, const DeviceShard *shard,
    Report *report, int64 origin, int64 end, int64 remote_origin, const int64 *remote,
    int64 n_remote) {
    emulation::launch((unsigned)n_blocks, (unsigned)n_threads, (size_t)shared_bytes, [&] {
        (team ? advance_team : advance_grid)(
            *shard, report, origin, end, remote_origin, remote, n_remote);
    });
}

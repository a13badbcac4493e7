// How numbers of synapses become the index that finds them
//
// Numbers are taken in groups of 64. The host adds up what the groups have; see
// kernels/cuda/synapse_builder.py

#pragma once

#include "grid.cuh"

// Add up groups of 64 numbers: which are not zero, how many, and their sum
extern "C" __global__ void __launch_bounds__(256, 4) sum_groups(
    const uint32 *counts, uint64 *groups, int64 n_groups) {
    const int lane = lane_number();
    for (int64 g = thread_number() / WARP; g < n_groups; g += n_threads() / WARP) {
        const uint32 one = counts[64 * g + lane], other = counts[64 * g + WARP + lane];
        const uint32 low = __ballot_sync(0xFFFFFFFFu, one > 0);
        const uint32 high = __ballot_sync(0xFFFFFFFFu, other > 0);
        uint64 sum;
        sum_before((uint64)one + other, sum);
        if (lane == 0) {
            groups[3 * g] = (uint64)high << 32 | low;
            groups[3 * g + 1] = __popc(low) + __popc(high);
            groups[3 * g + 2] = sum;
        }
    }
}

// Write where rows begin, one behind the place of each; `groups` has the rows and synapses before
// each group. Where `all` is 0, only what is not zero has a row
extern "C" __global__ void __launch_bounds__(256, 4) begin_rows(
    const uint32 *counts, const uint64 *groups, int64 n_groups, uint32 *rows, int64 all) {
    const int lane = lane_number();
    const uint32 lower = (1u << lane) - 1;
    for (int64 g = thread_number() / WARP; g < n_groups; g += n_threads() / WARP) {
        const uint32 one = counts[64 * g + lane], other = counts[64 * g + WARP + lane];
        const uint32 low = (uint32)groups[3 * g], high = (uint32)(groups[3 * g] >> 32);
        uint64 sum, rest;
        const uint64 begin = groups[3 * g + 2] + sum_before(one, sum);
        const uint64 later = groups[3 * g + 2] + sum + sum_before(other, rest);
        uint32 *place = rows + 1 + (all ? 64 * g : (int64)groups[3 * g + 1]);
        if (all || one > 0)
            place[all ? lane : __popc(low & lower)] = (uint32)begin;
        if (all || other > 0)
            place[all ? WARP + lane : __popc(low) + __popc(high & lower)] = (uint32)later;
    }
}

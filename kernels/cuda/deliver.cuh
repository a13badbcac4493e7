// Delivery of spikes by all threads of a launch together
//
// A round has two halves, with a barrier after each. First, spikes are entered: each lane of a warp
// finds the rows that its spike has in the tables, and how many synapses they have. One atomic
// addition gives the warp places among the entries and tells how many synapses come before its own;
// so entries are sorted by the number of synapses before them. Then the synapses of all entries are
// divided evenly among all warps, whatever spike they belong to, so that a hub does not hold up the
// others. Spikes that find no room among the entries are left for another round.

#pragma once

#include "synapses.cuh"

const int SYNAPSE_BITS = 40;
const uint64 SYNAPSE_MASK = ((uint64)1 << SYNAPSE_BITS) - 1;

// Synapses that a warp takes at a time, at most
const int64 LARGEST_SHARE = 1024;

__device__ inline void clear_round(Round &round) {
    round.reserved = round.left = 0;
    round.synapses = round.entries = ~(uint64)0;
}

// Enter the rows of a spike of each lane that has one; the lanes of a warp do it together
__device__ inline void enter(
    const DeviceShard &m, Round &round, Spike *left, bool spikes, int64 gid, int64 emitted) {
    uint64 own = 0;
#pragma unroll 1
    for (int32 k = 0; spikes && k < (int32)m.n_tables; ++k) {
        const Row row = find_row(m.tables[k], gid, 0, 1);
        if (row.size > 0)
            own += ((uint64)1 << SYNAPSE_BITS) + row.size;
    }
    uint64 total;
    const uint64 before = sum_before(own, total);
    if (total == 0)
        return;

    // Ask for no more where all is taken, so that the number of entries fits its bits
    uint64 reserved = 0;
    if (lane_number() == 0) {
        reserved = load(&round.reserved);
        if ((int64)(reserved >> SYNAPSE_BITS) < m.n_entries)
            reserved = atomicAdd(&round.reserved, total);
    }
    uint64 place = __shfl_sync(0xFFFFFFFFu, reserved, 0) + before;
    if (own == 0)
        return;
    if ((int64)((place + own) >> SYNAPSE_BITS) > m.n_entries) {
        atomicMin(&round.entries, place >> SYNAPSE_BITS);
        atomicMin(&round.synapses, place & SYNAPSE_MASK);
        left[atomicAdd(&round.left, (uint64)1)] = Spike{gid, emitted};
        return;
    }
#pragma unroll 1
    for (int32 k = 0; k < (int32)m.n_tables; ++k) {
        const Row row = find_row(m.tables[k], gid, 0, 1);
        if (row.size == 0)
            continue;
        Entry &entry = m.entries[place >> SYNAPSE_BITS];
        entry = Entry{(int64)(place & SYNAPSE_MASK), row.first, k, emitted};
        place += ((uint64)1 << SYNAPSE_BITS) + row.size;
    }
}

// Return the last of the entries that has no more than so many synapses before it; a warp together
__device__ inline int64 find_entry(const Entry *entries, int64 n_entries, int64 synapse) {
    int64 low = 0, high = n_entries;
    while (high - low > 1) {
        const int64 stride = (high - low + WARP - 1) / WARP;
        const int64 probe = low + stride * lane_number();
        const bool before = probe < high && entries[probe].before <= synapse;
        low += stride * (31 - __clz(__ballot_sync(0xFFFFFFFFu, before)));
        high = low + stride < high ? low + stride : high;
    }
    return low;
}

// Deliver as many synapses as there are lanes, of several entries from one on that has the first of
// them; return the entry that has the last
__device__ inline int64 deliver_short(
    const DeviceShard &m, const Part &all, int64 first, int64 n_entries, int64 begin, int64 end,
    int64 earliest) {
    const int lane = lane_number();
    const int64 synapse = begin + lane;
    const int64 before = first + lane < n_entries ? m.entries[first + lane].before : end;
    int own = 0;
    for (int step = WARP / 2; step > 0; step /= 2) {
        const int64 other = __shfl_sync(0xFFFFFFFFu, before, own + step);
        if (first + own + step < n_entries && other <= synapse)
            own += step;
    }
    if (synapse < end) {
        const Entry &e = m.entries[first + own];
        const DeviceTable &table = m.tables[e.table];
        const Synapse found = load_synapse(table, e.first + synapse - e.before);
        add(m, all, table, found, e.emitted, earliest);
    }
    return first + __shfl_sync(0xFFFFFFFFu, own, WARP - 1);
}

// Deliver what has been entered, as far as it is due in a step or later
__device__ inline void deliver(
    const DeviceShard &m, const Part &all, const Round &round, int64 earliest) {
    const uint64 reserved = round.reserved;
    const int64 n_synapses = (int64)min(round.synapses, reserved & SYNAPSE_MASK);
    const int64 n_entries = (int64)min(round.entries, reserved >> SYNAPSE_BITS);
    const int64 warp = thread_number() / WARP, n_warps = n_threads() / WARP;
    const int64 even = (n_synapses + n_warps - 1) / n_warps;
    const int64 share = min((even + WARP - 1) / WARP * WARP, LARGEST_SHARE);
    for (int64 begin = warp * share; begin < n_synapses; begin += n_warps * share) {
        const int64 end = min(begin + share, n_synapses);
        int64 k = find_entry(m.entries, n_entries, begin);
        for (int64 at = begin; at < end;) {
            if (k + 1 < n_entries && m.entries[k + 1].before <= at)
                ++k;
            const Entry entry = m.entries[k];
            const int64 stop = k + 1 < n_entries ? min(m.entries[k + 1].before, end) : end;
            if (stop - at >= WARP) {
                const int64 first = entry.first - entry.before;
                const DeviceTable &table = m.tables[entry.table];
                deliver_row<3>(m, all, table, first + at, first + stop, entry.emitted, earliest);
                at = stop;
            } else {
                k = deliver_short(m, all, k, n_entries, at, end, earliest);
                at += WARP;
            }
        }
    }
}

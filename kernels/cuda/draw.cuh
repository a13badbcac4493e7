// The synapses of a table, drawn where they are kept
//
// Connectivity is a function of the target, so a warp takes a target at a time, and its lanes draw
// the synapses. All are drawn twice: once to count those of each row, once to put them there. In
// between the host turns the numbers into the index. A row has its synapses in no certain order,
// since what they add to the input does not depend on it. The draws are those of
// partition/draw.py, to the last bit.

#pragma once

#include "poisson.cuh"
#include "synapses.cuh"

// How the sources of a target are drawn, as in simcore.draft; those GIVEN are listed by the host
enum Draws { UNIFORM, DISTINCT, ALL, GIVEN };

// Synapses to be drawn, or listed ones; see kernels/cuda/drawing.py
struct Drawing {
    int64 kind, seed, stream, first_source, n_sources;
    int64 excluded_begin, excluded_end;    // the global ids that do not connect to themselves
    int64 first_target, n_targets;         // as lids; or the number of synapses that are listed
    int64 n_thresholds, n_weights;
    const int64 *gids, *indegrees;         // of all neurons, and of the targets
    const uint32 *thresholds;              // of the delays
    const int32 *values, *channel_of;      // the weights, and the channels by delay and sign
    int64 n_slots;                         // for each warp a table of the sources of a target
    uint32 *slots;
    const int64 *sources;                  // what is listed; targets as lids
    const int32 *targets, *channels, *weights;
};

// Where synapses go: a table, whose rows are being counted or filled
struct Filing {
    Table table;
    int64 n_parts, part_size;
    uint32 *counts;                        // of each source and part
    const uint64 *own;                     // a bit for each source that belongs to the shard
    uint64 *shortest;                      // delay of a synapse from elsewhere
};

const uint32 NOBODY = 0xFFFFFFFFu;

// Count a synapse
__device__ inline void count(const Filing &f, int64 source, int64 target, int32 channel) {
    atomicAdd(f.counts + source * f.n_parts + target / f.part_size, 1u);
    const uint64 delay = f.table.channels[channel].delay;
    if (delay < load(f.shortest) && !(f.own[source / 64] >> (source % 64) & 1))
        atomicMin(f.shortest, delay);
}

// Put a synapse into its row. What finds the end of a row counts up from its begin meanwhile
__device__ inline void put(
    const Filing &f, int64 source, int64 target, int32 channel, int32 weight) {
    const Table &t = f.table;
    int64 row = source * f.n_parts + target / f.part_size, before = 0;
    if (t.sources != nullptr) {
        const uint64 *group = t.sources + 3 * (source / 64);
        row = (int64)group[1] + __popcll(group[0] & (((uint64)1 << (source % 64)) - 1));
        before = (int64)group[2];
    }
    const uint32 low = atomicAdd((uint32 *)t.rows + row + 1, 1u);
    const int64 k = before + (uint32)(low - (uint32)before);
    const uint32 place = (uint32)channel << t.target_bits | (uint32)(target - t.origin);
    ((uint16 *)t.low)[k] = (uint16)place;
    if (t.wide)
        ((uint16 *)t.high)[k] = (uint16)(place >> 16);
    else
        ((uint8 *)t.high)[k] = (uint8)(place >> 16);
    if (t.form == DRAWN)
        ((uint16 *)t.weights)[k] = (uint16)(weight >> t.shift);
    if (t.form == EXACT) {
        ((uint16 *)t.weights)[k] = (uint16)weight;
        if (t.wide_weights)
            ((int16 *)t.high_weights)[k] = (int16)(weight >> 16);
        else
            ((int8 *)t.high_weights)[k] = (int8)(weight >> 16);
    }
}

// The synapses of one target
template <bool PUTS> struct Target {
    const Drawing &d;
    const Filing &f;
    int64 lid, gid, n_sources, skip;       // sources without the one to skip

    __device__ Target(const Drawing &drawing, const Filing &filing, int64 number)
        : d(drawing), f(filing), lid(d.first_target + number), gid(d.gids[lid]) {
        const bool skips = d.excluded_begin <= gid && gid < d.excluded_end;
        n_sources = d.n_sources - skips;
        skip = skips ? gid - d.first_source : NEVER;
    }

    __device__ Words draw(int64 index) const {
        return draw_words((uint64)d.seed, (uint32)d.stream, (uint64)gid, (uint64)index);
    }

    // Return a source drawn uniformly: a fraction of 64 bits, times the number of sources
    __device__ int64 source_of(const Words &words) const {
        const uint64 n = (uint64)n_sources;
        return (int64)((words.w0 * n + ((words.w3 * n) >> 32)) >> 32);
    }

    // Count or put the synapse with an index, whose source and words are given
    __device__ void file(int64 source, const Words &words) const {
        int32 delay = 0, end = (int32)d.n_thresholds;
        while (delay < end) {
            const int32 middle = (delay + end) / 2;
            if (d.thresholds[middle] <= words.w1)
                delay = middle + 1;
            else
                end = middle;
        }
        const int32 weight = d.values[words.w2 >> 16 & (uint32)(d.n_weights - 1)];
        const int32 channel = d.channel_of[2 * delay + (weight < 0)];
        const int64 gid_of_source = d.first_source + source + (source >= skip);
        if (PUTS)
            put(f, gid_of_source, lid, channel, weight);
        else
            count(f, gid_of_source, lid, channel);
    }

    // Sources drawn with repetition, or all of them
    __device__ void file_any(int64 indegree) const {
        for (int64 index = lane_number(); index < indegree; index += WARP) {
            const Words words = draw(index);
            file(d.kind == ALL ? index : source_of(words), words);
        }
    }

    // Sources drawn without repetition: draws that repeat one are passed over. Where more than half
    // are wanted, those to leave out are drawn instead
    __device__ void file_distinct(int64 indegree, uint32 *slots) const {
        const int lane = lane_number();
        const uint32 lower = (1u << lane) - 1, all = 0xFFFFFFFFu;
        const bool leaves_out = 2 * indegree > n_sources;
        const int64 wanted = leaves_out ? n_sources - indegree : indegree;
        for (int64 k = lane; k < d.n_slots; k += WARP)
            slots[k] = NOBODY;
        __syncwarp();
        for (int64 found = 0, attempt = lane; found < wanted; attempt += WARP) {
            const uint32 source = (uint32)source_of(draw(attempt));

            // Of the lanes with the same source the first one has it
            const bool first = __ffs(__match_any_sync(all, source)) - 1 == lane;
            const bool is_new = first && !is_among(slots, source);
            const uint32 which = __ballot_sync(all, is_new);
            const int64 index = found + __popc(which & lower);
            if (is_new && index < wanted) {
                enter(slots, source);
                if (!leaves_out)
                    file(source, draw(index));
            }
            __syncwarp();
            found += __popc(which);
        }
        for (int64 found = 0, begin = 0; leaves_out && begin < n_sources; begin += WARP) {
            const int64 source = begin + lane;
            const bool kept = source < n_sources && !is_among(slots, (uint32)source);
            const uint32 which = __ballot_sync(all, kept);
            if (kept)
                file(source, draw(found + __popc(which & lower)));
            found += __popc(which);
        }
    }

    // Return the slot in which the search for a source begins
    __device__ uint32 slot_of(uint32 source) const {
        return source * 0x9E3779B1u & (uint32)(d.n_slots - 1);
    }

    __device__ bool is_among(const uint32 *slots, uint32 source) const {
        uint32 slot = slot_of(source);
        while (slots[slot] != NOBODY && slots[slot] != source)
            slot = (slot + 1) & (uint32)(d.n_slots - 1);
        return slots[slot] == source;
    }

    // Other lanes enter other sources
    __device__ void enter(uint32 *slots, uint32 source) const {
        uint32 slot = slot_of(source);
        while (atomicCAS(slots + slot, NOBODY, source) != NOBODY)
            slot = (slot + 1) & (uint32)(d.n_slots - 1);
    }
};

// Count or put all synapses; each warp takes a target at a time
template <bool PUTS> __device__ inline void draw_all(const Drawing &d, const Filing &f) {
    const int64 warp = thread_number() / WARP, n_warps = n_threads() / WARP;
    for (int64 k = warp; k < d.n_targets; k += n_warps) {
        const Target<PUTS> target(d, f, k);
        if (d.kind == DISTINCT)
            target.file_distinct(d.indegrees[k], d.slots + warp * d.n_slots);
        else
            target.file_any(d.indegrees[k]);
    }
}

// Count or put the synapses that the host lists
template <bool PUTS> __device__ inline void file_all(const Drawing &d, const Filing &f) {
    for (int64 k = thread_number(); k < d.n_targets; k += n_threads()) {
        if (PUTS)
            put(f, d.sources[k], d.targets[k], d.channels[k], d.weights[k]);
        else
            count(f, d.sources[k], d.targets[k], d.channels[k]);
    }
}

extern "C" __global__ void __launch_bounds__(256, 4) count_synapses(
    const Drawing drawing, const Filing filing) {
    if (drawing.kind == GIVEN)
        file_all<false>(drawing, filing);
    else
        draw_all<false>(drawing, filing);
}

extern "C" __global__ void __launch_bounds__(256, 4) put_synapses(
    const Drawing drawing, const Filing filing) {
    if (drawing.kind == GIVEN)
        file_all<true>(drawing, filing);
    else
        draw_all<true>(drawing, filing);
}

// The synapses of a shard, drawn where they are kept
//
// Connectivity is a function of the target, so a warp takes a target at a time, and its lanes draw
// the synapses. All are drawn twice: once to count those of each row, once to put them there. In
// between the numbers become the index (index.cuh). A row has its synapses in no certain order,
// since what they add to the input does not depend on it. The draws are those of
// simcore/construction/synapse_draws.py, to the last bit.

#pragma once

#include "poisson.cuh"
#include "synapses.cuh"

// How the sources of a target are chosen, as in simcore.shards.shard_spec
enum SourceChoice { UNIFORM, DISTINCT, ALL };

// The synapses of a projection at some targets; see kernels/cuda/synapse_builder.py
struct Drawing {
    int64 choice, seed, stream;
    int64 origin, step, n_sources;         // global ids of the sources: every step-th, or
    const int64 *listed;                   // these distances from the origin
    int64 excludes;                        // whether targets do not connect to themselves
    int64 first_target, n_targets;         // lids: neighbours, or
    const int64 *targets;                  // these
    int64 n_thresholds, n_weights;
    const int64 *indegrees;                // of the targets
    const uint32 *thresholds;              // of the delays
    const int32 *weights, *channel_of;     // the channels by delay and sign of the weight
    int64 n_slots;                         // for each warp a table of the sources of a target
    uint32 *slots;
};

// Synapses that the host lists
struct Listing {
    int64 n_synapses;
    const int64 *sources;
    const int32 *targets, *channels, *weights;    // targets as lids
};

// Where synapses go: the sections of a table, whose rows are being counted or filled
struct Filing {
    const DeviceTable *tables;             // of each section
    int64 section_size, n_sources, n_parts, part_size, n_neurons;
    const int64 *gids;                     // of all neurons of the shard
    uint32 *counts;                        // of each section, source and part
    uint64 *shortest;                      // delay of a synapse from elsewhere, where there is one
};

const uint32 NOBODY = 0xFFFFFFFFu;

// Where the synapses of one target go
struct Place {
    const Filing &f;
    int64 target, section, part;

    __device__ Place(const Filing &filing, int64 lid)
        : f(filing), target(lid), section(lid / f.section_size), part(lid / f.part_size) {}

    __device__ const DeviceTable &table() const { return f.tables[section]; }

    // Count a synapse
    __device__ void count(int64 source) const {
        atomicAdd(f.counts + (section * f.n_sources + source) * f.n_parts + part, 1u);
    }

    // Put a synapse into its row. What finds the end of a row counts up from its begin meanwhile
    __device__ void put(int64 source, int32 channel, int32 weight) const {
        const DeviceTable &t = table();
        int64 row = source * f.n_parts + part, before = 0;
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

    // Let a delay be the shortest from elsewhere if it is
    __device__ void compare(int64 source, int32 channel, uint64 &shortest) const {
        const uint64 delay = table().channels[channel].delay;
        if (delay < shortest && !is_own(source))
            shortest = delay;
    }

    // Tell whether a neuron belongs to the shard
    __device__ bool is_own(int64 gid) const {
        int64 first = 0, end = f.n_neurons;
        while (first < end) {
            const int64 middle = (first + end) / 2;
            if (f.gids[middle] < gid)
                first = middle + 1;
            else
                end = middle;
        }
        return first < f.n_neurons && f.gids[first] == gid;
    }
};

// Draws the synapses of one target, to count them or to put them there
template <bool PUTS> struct Target {
    const Drawing &d;
    const Place place;
    int64 gid, n_sources, skip;            // sources without the one to skip
    uint64 &shortest;

    __device__ Target(const Drawing &drawing, const Filing &filing, int64 number, uint64 &found)
        : d(drawing),
          place(filing, d.targets == nullptr ? d.first_target + number : d.targets[number]),
          gid(filing.gids[place.target]), shortest(found) {
        const int64 own = d.excludes ? number_of(gid - d.origin) : NEVER;
        n_sources = d.n_sources - (own < NEVER);
        skip = own;
    }

    // Return the number of the source at some distance from the origin; NEVER if there is none
    __device__ int64 number_of(int64 away) const {
        if (d.listed == nullptr) {
            const int64 number = away / d.step;
            const bool is_one = away >= 0 && number < d.n_sources && number * d.step == away;
            return is_one ? number : NEVER;
        }
        int64 first = 0, end = d.n_sources;
        while (first < end) {
            const int64 middle = (first + end) / 2;
            if (d.listed[middle] < away)
                first = middle + 1;
            else
                end = middle;
        }
        return first < d.n_sources && d.listed[first] == away ? first : NEVER;
    }

    __device__ Words draw(int64 index) const {
        return draw_words((uint64)d.seed, (uint32)d.stream, (uint64)gid, (uint64)index);
    }

    // Return a source drawn uniformly: a fraction of 64 bits, times the number of sources, which is
    // below 2**32, see MAX_CHOICE of simcore/description/connectivity.py
    __device__ int64 source_of(const Words &words) const {
        const uint64 n = (uint64)n_sources;
        return (int64)((words.w0 * n + ((words.w3 * n) >> 32)) >> 32);
    }

    // Count or put a synapse, whose source and words are given
    __device__ void file(int64 number, const Words &words) {
        number += number >= skip;
        const int64 source =
            d.origin + (d.listed == nullptr ? number * d.step : d.listed[number]);
        if (!PUTS) {
            place.count(source);
            if (place.f.shortest == nullptr)
                return;
        }
        const int32 delay = count_at_most(d.thresholds, (int32)d.n_thresholds, words.w1);
        const int32 weight = d.weights[words.w2 >> 16 & (uint32)(d.n_weights - 1)];
        const int32 channel = d.channel_of[2 * delay + (weight < 0)];
        if (PUTS)
            place.put(source, channel, weight);
        else
            place.compare(source, channel, shortest);
    }

    // Sources drawn with repetition, or all of them
    __device__ void file_any(int64 indegree) {
        for (int64 index = lane_number(); index < indegree; index += WARP) {
            const Words words = draw(index);
            file(d.choice == ALL ? index : source_of(words), words);
        }
    }

    // Sources drawn without repetition: draws that repeat one are passed over. Where more than half
    // are wanted, those to leave out are drawn instead
    __device__ void file_distinct(int64 indegree, uint32 *slots) {
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

// Keep what a thread found out
__device__ inline void keep_shortest(const Filing &f, uint64 shortest) {
    if (shortest < (uint64)NEVER)
        atomicMin(f.shortest, shortest);
}

// Draw all synapses; each warp takes a target at a time
template <bool PUTS> __device__ inline void draw_targets(const Drawing &d, const Filing &f) {
    const int64 warp = thread_number() / WARP, n_warps = n_threads() / WARP;
    uint64 shortest = NEVER;
    for (int64 k = warp; k < d.n_targets; k += n_warps) {
        Target<PUTS> target(d, f, k, shortest);
        if (d.choice == DISTINCT)
            target.file_distinct(d.indegrees[k], d.slots + warp * d.n_slots);
        else
            target.file_any(d.indegrees[k]);
    }
    keep_shortest(f, shortest);
}

extern "C" __global__ void __launch_bounds__(256, 4) count_drawn(
    const Drawing drawing, const Filing filing) {
    draw_targets<false>(drawing, filing);
}

extern "C" __global__ void __launch_bounds__(256, 4) put_drawn(
    const Drawing drawing, const Filing filing) {
    draw_targets<true>(drawing, filing);
}

extern "C" __global__ void __launch_bounds__(256, 4) count_listed(
    const Listing l, const Filing f) {
    uint64 shortest = NEVER;
    for (int64 k = thread_number(); k < l.n_synapses; k += n_threads()) {
        const Place place(f, l.targets[k]);
        place.count(l.sources[k]);
        if (f.shortest != nullptr)
            place.compare(l.sources[k], l.channels[k], shortest);
    }
    keep_shortest(f, shortest);
}

extern "C" __global__ void __launch_bounds__(256, 4) put_listed(const Listing l, const Filing f) {
    for (int64 k = thread_number(); k < l.n_synapses; k += n_threads())
        Place(f, l.targets[k]).put(l.sources[k], l.channels[k], l.weights[k]);
}

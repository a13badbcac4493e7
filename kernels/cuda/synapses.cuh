// The synapses of a spike, and what they add to the input of their targets

#pragma once

#include "part.cuh"

struct Row {
    int64 first, size;
};

// Return the synapses that a source has in a table, at the neurons of a part
__device__ inline Row find_row(const Table &table, int64 source, int64 part, int64 n_parts) {
    const uint64 *group = table.sources + 3 * (source / 64);
    const uint64 bit = (uint64)1 << (source % 64), bits = group[0];
    if (!(bits & bit))
        return Row{0, 0};
    const uint64 number = group[1] + __popcll(bits & (bit - 1));
    const uint32 *row = table.rows + number * n_parts + part;
    const uint32 begin = row[0];
    return Row{(int64)group[2] + (begin - (uint32)group[2]), (int64)(row[1] - begin)};
}

// What a synapse adds, and where; to nowhere where it was due before a step
struct Addition {
    int32 *input;
    int32 weight;
};

__device__ inline int32 exact_weight(const Table &table, int64 synapse) {
    const int32 high = table.wide_weights ? ((const int16 *)table.high_weights)[synapse]
                                          : ((const int8 *)table.high_weights)[synapse];
    return high * (1 << 16) + table.weights[synapse];
}

__device__ inline Addition find_addition(
    const Machine &m, const Part &part, const Table &table, int64 synapse, int64 emitted,
    int64 earliest) {
    const uint32 high = table.wide ? ((const uint16 *)table.high)[synapse]
                                   : ((const uint8 *)table.high)[synapse];
    const uint32 place = table.low[synapse] | high << 16;
    const Channel channel = table.channels[place >> table.target_bits];
    const int64 due = emitted + channel.delay;
    const int64 target = table.origin + (place & ((1u << table.target_bits) - 1)) - part.first;
    int32 weight = channel.weight;
    if (table.form == DRAWN)
        weight = (int16)table.weights[synapse] * (1 << table.shift);
    else if (table.form == EXACT)
        weight = exact_weight(table, synapse);
    int32 *input = input_of(m, part, due, channel.receptor, target);
    return Addition{due < earliest ? nullptr : input, weight};
}

__device__ inline void add(const Addition &addition) {
    if (addition.input)
        atomicAdd(addition.input, addition.weight);
}

// Deliver neighbouring synapses of one spike, as far as they are due in a step or later; a warp
// together, each lane of which asks for some of them at once before it adds the first
template <int AT_ONCE>
__device__ inline void deliver_row(
    const Machine &m, const Part &part, const Table &table, int64 begin, int64 end, int64 emitted,
    int64 earliest) {
    for (int64 k = begin + lane_number(); k < end; k += AT_ONCE * WARP) {
        Addition additions[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            additions[i].input = nullptr;
            if (k + i * WARP < end)
                additions[i] = find_addition(m, part, table, k + i * WARP, emitted, earliest);
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i)
            add(additions[i]);
    }
}

// The synapses of a spike, and what they add to the input of their targets

#pragma once

#include "part.cuh"

struct Row {
    int64 first, size;
};

// Return the synapses that a source has in a table, at the neurons of a part
__device__ inline Row find_row(const DeviceTable &table, int64 source, int64 part, int64 n_parts) {
    if (table.sources == nullptr) {
        const uint32 *row = table.rows + source * n_parts + part;
        return Row{row[0], (int64)row[1] - row[0]};
    }
    const uint64 *group = table.sources + 3 * (source / 64);
    const uint64 bit = (uint64)1 << (source % 64), bits = group[0];
    if (!(bits & bit))
        return Row{0, 0};
    const uint32 *row = table.rows + group[1] + __popcll(bits & (bit - 1));
    const uint32 begin = row[0];
    return Row{(int64)group[2] + (begin - (uint32)group[2]), (int64)(row[1] - begin)};
}

// A synapse as it lies in memory: the halves of its place and of its weight
struct Synapse {
    uint32 low, high, weight;
    int32 high_weight;
};

__device__ inline Synapse load_synapse(const DeviceTable &table, int64 k) {
    Synapse found{table.low[k], 0, 0, 0};
    found.high = table.wide ? ((const uint16 *)table.high)[k] : ((const uint8 *)table.high)[k];
    if (table.form != CONSTANT)
        found.weight = table.weights[k];
    if (table.form == EXACT)
        found.high_weight = table.wide_weights ? ((const int16 *)table.high_weights)[k]
                                               : ((const int8 *)table.high_weights)[k];
    return found;
}

// Add what a synapse of a spike adds to the input of its target, unless it was due before a step
__device__ inline void add(
    const DeviceShard &m, const Part &part, const DeviceTable &table, const Synapse &synapse,
    int64 emitted,
    int64 earliest) {
    const uint32 place = synapse.low | synapse.high << 16;
    const Channel channel = table.channels[place >> table.target_bits];
    const int64 due = emitted + channel.delay;
    if (due < earliest)
        return;
    const int64 target = table.origin + (place & ((1u << table.target_bits) - 1)) - part.first;
    const int32 weight = table.form == CONSTANT ? channel.weight
                       : table.form == DRAWN    ? (int16)synapse.weight * (1 << table.shift)
                       : synapse.high_weight * (1 << 16) + (int32)synapse.weight;
    atomicAdd(input_of(m, part, due, channel.receptor, target), weight);
}

// Deliver neighbouring synapses of one spike; a warp together, each lane of which asks for some of
// them at once before it adds the first
template <int AT_ONCE>
__device__ inline void deliver_row(
    const DeviceShard &m, const Part &part, const DeviceTable &table, int64 begin, int64 end,
    int64 emitted,
    int64 earliest) {
    for (int64 k = begin + lane_number(); k < end; k += AT_ONCE * WARP) {
        Synapse synapses[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i)
            synapses[i] = load_synapse(table, k + i * WARP < end ? k + i * WARP : k);
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i)
            if (k + i * WARP < end)
                add(m, part, table, synapses[i], emitted, earliest);
    }
}

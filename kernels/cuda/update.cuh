// One step of one neuron

#pragma once

#include "part.cuh"
#include "poisson.cuh"

// The models in use, see kernels/cuda/models.py
#include "models.cuh"

// Take the input of a step from the ring, which is empty then
__device__ inline int32 take_input(
    const DeviceShard &m, const Part &part, int64 step, int64 receptor, int64 neuron) {
    int32 *place = input_of(m, part, step, receptor, neuron);
    const int32 arrived = *place;
    *place = 0;
    return arrived;
}

// Add the Poisson input of a neuron in a step to come to the ring; emit nothing
__device__ inline void draw_input(
    const DeviceShard &m, const Part &part, int64 step, int64 neuron) {
    const Segment &s = part.segments[part.segment_of[neuron]];
    if (s.kind == SOURCE)
        return;
#pragma unroll 1
    for (int32 k = 0; k < (int32)s.n_groups; ++k) {
        const Group &g = part.groups[s.first_group + k];
        if (!is_member(m.members, g, part.first + neuron))
            continue;
        const int32 n = count_events(part.thresholds, g, m.seed, part.gids[neuron], step);
        *input_of(m, part, step, g.receptor, neuron) += n * (int32)g.weight;
    }
}

// Advance a neuron of a part by a step; return how often it spikes. Its Poisson input is drawn here
// unless it lies in the ring
template <bool IS_DRAWN>
__device__ inline int32 update(const DeviceShard &m, const Part &part, int64 step, int64 neuron) {
    const Segment &s = part.segments[part.segment_of[neuron]];
    if (s.kind == SOURCE) {
        int32 n = 0;
#pragma unroll 1
        for (int32 k = 0; k < (int32)s.n_groups; ++k) {
            const Group &g = part.groups[s.first_group + k];
            n += count_events(part.thresholds, g, m.seed, part.gids[neuron], step);
        }
        return n;
    }
    int32 arrived[MOST_RECEPTORS];
#pragma unroll
    for (int32 r = 0; r < MOST_RECEPTORS; ++r)
        arrived[r] = r < m.n_receptors ? take_input(m, part, step, r, neuron) : 0;
#pragma unroll 1
    for (int32 k = 0; !IS_DRAWN && k < (int32)s.n_groups; ++k) {
        const Group &g = part.groups[s.first_group + k];
        if (!is_member(m.members, g, part.first + neuron))
            continue;
        const int32 n = count_events(part.thresholds, g, m.seed, part.gids[neuron], step);
#pragma unroll
        for (int32 r = 0; r < MOST_RECEPTORS; ++r)
            arrived[r] += g.receptor == r ? n * (int32)g.weight : 0;
    }
    const int64 place = neuron - s.begin;
    return advance_model(
        s.kind, part.numbers + s.first_number, part.values + s.first_value + place,
        part.columns + s.first_state + place, s.size, part.refractory[neuron], (int16)s.duration,
        arrived, m.seed, part.gids[neuron], step);
}

// One step of one neuron

#pragma once

#include "part.cuh"
#include "poisson.cuh"

// Take the input of a step from the ring, which is empty then
__device__ inline int32 take_input(
    const Machine &m, const Part &part, int64 step, int64 receptor, int64 neuron) {
    int32 *place = input_of(m, part, step, receptor, neuron);
    const int32 arrived = *place;
    *place = 0;
    return arrived;
}

// Add the Poisson input of a neuron in a step to come to the ring; emit nothing
__device__ inline void draw_input(const Machine &m, const Part &part, int64 step, int64 neuron) {
    const Segment &s = part.segments[part.segment_of[neuron]];
    if (s.kind == SOURCE)
        return;
#pragma unroll 1
    for (int32 k = 0; k < (int32)s.n_groups; ++k) {
        const Group &g = part.groups[s.first_group + k];
        const int32 n = count_events(part.thresholds, g, m.seed, part.gids[neuron], step);
        *input_of(m, part, step, g.receptor, neuron) += n * (int32)g.weight;
    }
}

// Advance a neuron of a part by a step; return how often it spikes. Its Poisson input is drawn here
// unless it lies in the ring
template <bool IS_DRAWN>
__device__ inline int32 update(const Machine &m, const Part &part, int64 step, int64 neuron) {
    const Segment &s = part.segments[part.segment_of[neuron]];
    const Group *groups = part.groups + s.first_group;
    if (s.kind == SOURCE) {
        int32 n = 0;
        for (int64 k = 0; k < s.n_groups; ++k)
            n += count_events(part.thresholds, groups[k], m.seed, part.gids[neuron], step);
        return n;
    }
    int32 arrived = take_input(m, part, step, 0, neuron);
    int32 arrived_second = m.n_receptors == 2 ? take_input(m, part, step, 1, neuron) : 0;
    for (int64 k = 0; !IS_DRAWN && k < s.n_groups; ++k) {
        const int32 n = count_events(part.thresholds, groups[k], m.seed, part.gids[neuron], step);
        (groups[k].receptor ? arrived_second : arrived) += n * (int32)groups[k].weight;
    }

    const real V = part.V[neuron], quantum = (real)s.quantum;
    const int16 waiting = part.waiting[neuron];
    real advanced = V * (real)s.decay_V;
    if (s.kind == DELTA) {
        advanced = advanced + (real)s.constant + (real)arrived * quantum;
    } else {
        real *current = part.currents + neuron;
        const real first = *current;
        advanced = advanced + first * (real)s.ex_to_V;
        *current = first * (real)s.decay_ex + (real)arrived * quantum;
        if (s.kind == TWO_CURRENTS) {
            real *other = current + part.stride;
            const real second = *other;
            advanced = advanced + second * (real)s.in_to_V;
            *other = second * (real)s.decay_in + (real)arrived_second * quantum;
        }
        advanced = advanced + (real)s.constant;
    }
    const real v = waiting == 0 ? advanced : V;
    const bool spike = v >= (real)s.threshold;
    part.V[neuron] = spike ? (real)s.reset : v;
    part.waiting[neuron] = spike ? (int16)s.refractory : (int16)(waiting > 0 ? waiting - 1 : 0);
    return spike;
}

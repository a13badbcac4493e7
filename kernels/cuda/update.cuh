// One step of one neuron

#pragma once

#include "poisson.cuh"

// Take the input of a step from the ring, which is empty then
__device__ inline int32 take_input(const Machine &m, int64 step, int64 receptor, int64 lid) {
    const int64 slot = step & (m.n_slots - 1);
    int32 *place = m.ring + (slot * m.n_receptors + receptor) * m.n_neurons + lid;
    const int32 arrived = *place;
    *place = 0;
    return arrived;
}

// Advance a neuron by a step; return how often it spikes
__device__ inline int32 update(const Machine &m, int64 step, int64 lid) {
    const Span span = m.spans[m.span_of[lid]];
    const Segment &s = m.segments[span.segment];
    const Group *groups = m.groups + span.first_group;
    if (s.kind == SOURCE) {
        int32 n = 0;
        for (int64 k = 0; k < span.n_groups; ++k)
            n += count_events(m, groups[k], m.gids[lid], step);
        return n;
    }
    int32 arrived = take_input(m, step, 0, lid);
    int32 arrived_second = m.n_receptors == 2 ? take_input(m, step, 1, lid) : 0;
    for (int64 k = 0; k < span.n_groups; ++k) {
        const int32 n = count_events(m, groups[k], m.gids[lid], step);
        (groups[k].receptor ? arrived_second : arrived) += n * (int32)groups[k].weight;
    }

    const real V = m.V[lid], quantum = (real)s.quantum;
    const int16 waiting = m.waiting[lid];
    real advanced = V * (real)s.decay_V;
    if (s.kind == DELTA) {
        advanced = advanced + (real)s.constant + (real)arrived * quantum;
    } else {
        real *current = m.currents + lid;
        const real first = *current;
        advanced = advanced + first * (real)s.ex_to_V;
        *current = first * (real)s.decay_ex + (real)arrived * quantum;
        if (s.kind == TWO_CURRENTS) {
            real *other = current + m.n_neurons;
            const real second = *other;
            advanced = advanced + second * (real)s.in_to_V;
            *other = second * (real)s.decay_in + (real)arrived_second * quantum;
        }
        advanced = advanced + (real)s.constant;
    }
    const real v = waiting == 0 ? advanced : V;
    const bool spike = v >= (real)s.threshold;
    m.V[lid] = spike ? (real)s.reset : v;
    m.waiting[lid] = spike ? (int16)s.refractory : (int16)(waiting > 0 ? waiting - 1 : 0);
    return spike;
}

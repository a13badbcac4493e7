// A part: neighbouring neurons, and all that advancing them takes beside synapses

#pragma once

#include "grid.cuh"

const int64 NEVER = (int64)1 << 62;

// All arrays are of the part alone, in the memory of the device or in that of a block
struct Part {
    int32 number, first, n_neurons;    // the first as a lid
    int32 first_segment, n_segments;
    Segment *segments;
    const Group *groups;
    const uint32 *thresholds;
    const int64 *gids;
    const int32 *segment_of;
    int64 first_number, n_numbers, n_columns;
    real *columns, *numbers;           // states of its segments, and what is known of them
    const real *values;
    int16 *refractory;
    int32 *ring;
    Cursor *cursor;
};

// Return the input of a neuron in a step, which is that of other steps later
__device__ inline int32 *input_of(
    const DeviceShard &m, const Part &part, int64 step, int64 receptor, int64 neuron) {
    const int64 slot = step & (m.n_slots - 1);
    return part.ring + (slot * m.n_receptors + receptor) * part.n_neurons + neuron;
}

// Return a part with its arrays in the memory of the device
__device__ inline Part part_of(const DeviceShard &m, int64 number) {
    const int64 first = number * m.part_size, segment = m.first_segments[number];
    Part part;
    part.number = (int32)number;
    part.first = (int32)first;
    part.n_neurons = (int32)min(m.part_size, m.n_neurons - first);
    part.first_segment = (int32)segment;
    part.n_segments = (int32)(m.first_segments[number + 1] - segment);
    part.segments = m.segments + segment;
    part.groups = m.groups + m.first_groups[number];
    part.thresholds = m.thresholds;
    part.gids = m.gids + first;
    part.segment_of = m.segment_of + first;
    part.first_number = m.first_numbers[number];
    part.n_numbers = m.first_numbers[number + 1] - part.first_number;
    part.n_columns = m.first_columns[number + 1] - m.first_columns[number];
    part.columns = m.columns + m.first_columns[number];
    part.numbers = m.numbers + part.first_number;
    part.values = m.values;
    part.refractory = m.refractory + first;
    part.ring = m.ring + m.n_slots * m.n_receptors * first;
    part.cursor = m.cursors + number;
    return part;
}

// Make ready what happens in a step at given times; one warp of the part does it
__device__ inline void prepare(const DeviceShard &m, const Part &part, int64 step) {
    Cursor &c = *part.cursor;
    if (step < c.due)
        return;
    const int64 n_changes = count_less(m.change_steps, c.change, m.n_changes, step + 1);
    const int64 end = m.first_trains[part.number + 1];
    const int64 train = c.train + count_less(m.train_steps, c.train, end, step);
    const int64 trains = train + count_less(m.train_steps, train, end, step + 1);
    if (lane_number() > 0)
        return;
    for (int64 k = c.change; k < c.change + n_changes; ++k) {
        const int64 place = m.change_places[k] - part.first_number;
        if (place >= 0 && place < part.n_numbers)
            part.numbers[place] = m.change_values[k];
    }
    c.change += n_changes;
    c.train = train;
    c.trains = trains;
    const int64 change_due = c.change < m.n_changes ? m.change_steps[c.change] : NEVER;
    const int64 train_due = train < end ? m.train_steps[train] : NEVER;
    c.due = train < trains ? step + 1 : min(change_due, train_due);
}

// Read the columns of the probes that are due at the end of a step; some threads together
__device__ inline void sample(
    const DeviceShard &m, const Part &part, int64 origin, int64 step, int64 thread, int64 n) {
    for (int64 p = 0; p < m.n_probes; ++p) {
        const int64 interval = m.probe_intervals[p];
        if ((step + 1) % interval)
            continue;
        const int64 *bounds = m.probe_bounds + p * (m.n_parts + 1);
        const int64 size = bounds[m.n_parts] - bounds[0];
        const int64 row = (step + 1) / interval - 1 - origin / interval;
        real *out = m.samples + m.probe_places[p] + row * size - bounds[0];
        for (int64 k = bounds[part.number] + thread; k < bounds[part.number + 1]; k += n) {
            const int64 place = m.probe_columns[k];
            out[k] = place < 0 ? (real)part.refractory[-1 - place]
                               : part.columns[place] + m.probe_resting[k];
        }
    }
}

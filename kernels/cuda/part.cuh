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
    int64 first_number, n_numbers, first_value, n_values, n_columns;
    real *columns, *numbers, *values;  // states of its segments, and what is known of them: what
                                       // neurons share, and what differs from one to the next
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
    part.first_value = m.first_values[number];
    part.n_values = m.first_values[number + 1] - part.first_value;
    part.values = m.values + part.first_value;
    part.refractory = m.refractory + first;
    part.ring = m.ring + m.n_slots * m.n_receptors * first;
    part.cursor = m.cursors + number;
    return part;
}

// Give a number of a part its new value, or one of its values
__device__ inline void change(const DeviceShard &m, const Part &part, int64 k) {
    const int64 place = m.change_places[k] - part.first_number;
    const int64 other = m.change_places[k] - m.n_numbers - part.first_value;
    if (place >= 0 && place < part.n_numbers)
        part.numbers[place] = m.change_values[k];
    else if (other >= 0 && other < part.n_values)
        part.values[other] = m.change_values[k];
}

// Make ready what happens in a step at given times; one warp of the part does it
__device__ inline void prepare(const DeviceShard &m, const Part &part, int64 step) {
    Cursor &c = *part.cursor;
    if (step < c.due)
        return;
    // All lanes read the cursor before they count together, since the first changes it then
    const int64 first = c.change;
    const int64 last = first + count_less(m.change_steps, first, m.n_changes, step + 1);
    const int64 end = m.first_trains[part.number + 1];
    const int64 train = c.train + count_less(m.train_steps, c.train, end, step);
    const int64 trains = train + count_less(m.train_steps, train, end, step + 1);

    // No two changes of one step are of the same number
    for (int64 k = first; k < last;) {
        const int64 n = count_less(m.change_steps, k, last, m.change_steps[k] + 1);
        for (int64 j = k + lane_number(); j < k + n; j += WARP)
            change(m, part, j);
        __syncwarp();
        k += n;
    }
    if (lane_number() > 0)
        return;
    c.change = last;
    c.train = train;
    c.trains = trains;
    const int64 change_due = last < m.n_changes ? m.change_steps[last] : NEVER;
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

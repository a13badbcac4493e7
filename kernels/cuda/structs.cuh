// What the kernels work on. Every field of a struct takes 8 bytes, so that the host can write them
// as rows of whole numbers; see kernels/cuda/structs.py, which has the same names in the same
// order, and has the compiler check that

#pragma once

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef unsigned long long uint64;
typedef signed char int8;
typedef short int16;
typedef int int32;
typedef long long int64;

#ifndef REAL
#define REAL double
#endif
typedef REAL real;

// Kind of a segment whose neurons only emit, as in simcore.kernels.neuron_tables; others have
// models
const int64 SOURCE = -1;

// Forms of weights, as in simcore.discretization.fixed_point
enum WeightForm { CONSTANT, DRAWN, EXACT };

// Members of a group without gaps, as in kernels/cuda/structs.py
const int64 ALL_MEMBERS = -((int64)1 << 62);

const int WARP = 32;
const int GID_BITS = 48;
const int64 GID_MASK = ((int64)1 << GID_BITS) - 1;

// Neighbouring neurons of one part with equal numbers and the same Poisson groups. The begin is
// the first neuron; where states, numbers, values and groups begin is counted from those of the part
struct Segment {
    int64 kind, duration, begin, size, first_state, first_number, first_value, first_group, n_groups;
};

// Poisson input of some neurons, or what Poisson sources emit
struct Group {
    int64 stream, emits, weight, receptor, start, stop, smallest, first_threshold, n_thresholds;
    int64 members;         // ALL_MEMBERS, or where among the bits of members that of lid 0 would be
};

// What a synapse does, apart from its target
struct alignas(16) Channel {
    int32 delay, receptor;
    int32 weight;          // in quanta, where all synapses of the channel have the same
    int32 unused;
};

// Synapses of one form at neighbouring neurons; see kernels/cuda/synapses.py. The place of a
// synapse, channel << target_bits | target, lies in a half of 16 bits and one of 8, or 16 if wide;
// so does a weight of the form EXACT
struct DeviceTable {
    int64 form, shift, origin, target_bits, wide, wide_weights, n_channels;
    const Channel *channels;
    const uint64 *sources; // of 64 sources: which have rows, rows before, synapses before
    const uint32 *rows;    // low half of the number of a row's first synapse; without `sources`
                           // the number of a source's first synapse in each part
    const uint16 *low;
    const void *high;
    const uint16 *weights; // the low half (EXACT), or all of it (DRAWN)
    const void *high_weights;
};

// What a spike has in one table: a row of synapses, with those of other entries before it
struct Entry {
    int64 before, first, table, emitted;
};

// A spike that is still to be entered
struct Spike {
    int64 gid, emitted;
};

// What one round of entering and delivering has; see deliver.cuh
struct Round {
    uint64 reserved;       // entries << 40 | synapses, asked for so far
    uint64 synapses;       // those of entries for which there was room
    uint64 entries;
    uint64 left;           // spikes for which there was none
};

// Where a part is in the lists of what happens at given steps
struct Cursor {
    int64 train, trains;   // the given spikes of this step, and the one after them
    int64 change;          // the first change of a number that is not done
    int64 due;             // the next step for which there is something to do
    int64 drawn;           // of a team: steps whose Poisson input is drawn, or was used
};

// What all threads share, from launch to launch
struct Control {
    uint64 barrier;
    int64 step;            // the next one
    int64 stopped;         // whether there is no room for the spikes of another step
    int64 meetings;        // of the blocks of a team, so far
    Round rounds[2];
};

// What a launch tells the host; the spikes follow
struct Report {
    int64 step;            // where it ended
    uint64 n_spikes;
    int64 update_cycles, deliver_cycles;
};

// A shard. Its neurons are cut into parts: one for the whole grid, or one for each block of a team
struct DeviceShard {
    int64 n_neurons, n_receptors, n_slots, n_tables, seed;
    int64 n_parts, part_size, n_thresholds, n_numbers, n_changes, n_probes, n_entries, n_left;
    int64 n_words, most_spikes;    // room for the spikes of a launch, spikes of a step at most
    int64 interval, room;          // of a team: steps between meetings, and spikes in a mailbox
    int64 most_segments, most_groups, most_columns, most_numbers;
    const int64 *gids;
    const int32 *segment_of;
    Segment *segments;
    const int64 *first_segments, *first_groups, *first_columns;   // of each part
    const int64 *first_numbers, *first_values;
    const Group *groups;
    const uint32 *thresholds, *members;
    real *columns, *numbers, *values;
    int16 *refractory;
    int32 *ring;                   // part by part
    const DeviceTable *tables;
    Entry *entries;
    Spike *left;
    const int64 *change_steps, *change_places;
    const real *change_values;
    const int64 *first_trains, *train_steps, *train_lids;
    const int64 *probe_columns, *probe_bounds, *probe_intervals, *probe_places;
    const real *probe_resting;
    real *samples;
    Cursor *cursors;
    Control *control;
    uint64 *posts;                 // of a team: those of two meetings
    int64 *mail;
};

// What the kernels work on. Every field of a struct takes 8 bytes, so that the host can write them
// as rows of whole numbers; see kernels/cuda/machine.py, which has the same names in the same order

#pragma once

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef unsigned long long uint64;
typedef short int16;
typedef int int32;
typedef long long int64;

#ifndef REAL
#define REAL double
#endif
typedef REAL real;

// Kinds of segments, as in simcore.kernels.plan
enum Kind { ONE_CURRENT, TWO_CURRENTS, DELTA, SOURCE };

// Forms of weights, as in simcore.fixed_point
enum Form { CONSTANT, DRAWN, EXACT };

const int WARP = 32;
const int GID_BITS = 48;
const int64 GID_MASK = ((int64)1 << GID_BITS) - 1;

// Neurons with equal parameters; the numbers are of type real
struct Segment {
    int64 kind, refractory;
    double decay_V, ex_to_V, in_to_V, decay_ex, decay_in, constant, threshold, reset, quantum;
};

// Neighbouring neurons of one segment that have the same Poisson groups
struct Span {
    int64 segment, first_group, n_groups;
};

// Poisson input of some neurons, or what Poisson sources emit
struct Group {
    int64 stream, emits, weight, receptor, start, stop, smallest, first_threshold, n_thresholds;
};

// Synapses of one form, see SynapseTable; runs are cut into pieces of which each knows its begin
struct Piece {
    uint64 begin;
    uint32 channel, length;
};

struct Table {
    int64 form, shift;
    const int32 *delays, *receptors, *weights;
    const uint64 *sources;
    const uint32 *rows;    // the first piece of each row, and one after the last row
    const Piece *pieces;
    const void *words;
    const int32 *exact;
};

// What a spike has in one block and one table: pieces, of which some came before
struct Entry {
    int64 before, first, where, emitted;
};

// A spike that is still to be entered
struct Spike {
    int64 gid, emitted;
};

// What one round of entering and delivering has; see deliver.cuh
struct Round {
    uint64 reserved;       // entries << 40 | pieces, asked for so far
    uint64 pieces;         // those of entries for which there was room
    uint64 entries;
    uint64 left;           // spikes for which there was none
};

// What all threads of a launch share
struct Control {
    uint64 arrived;        // at the barrier, since the launch began
    uint64 n_spikes;       // in words
    uint64 stopped;        // whether there is no room for the spikes of another step
    int64 step;            // where the launch ended
    int64 train, trains;   // the trains' spikes of this step, and the one after them
    int64 change;          // the first change of a current that is not done
    Round rounds[2];
};

struct Machine {
    int64 n_neurons, n_blocks, n_receptors, n_slots, n_source_groups, n_tables, seed;
    int64 n_changes, n_trains, n_probes, n_entries, n_left, n_words, most_spikes;
    const int64 *gids, *blocks;
    const int32 *span_of;
    const Span *spans;
    Segment *segments;
    const Group *groups;
    const uint32 *thresholds;
    const real *resting;
    real *V, *currents;
    int16 *waiting;
    int32 *ring;
    const Table *tables;
    Entry *entries;
    Spike *left;
    int64 *words;
    const int64 *change_steps, *change_segments;
    const double *change_values;
    const int64 *train_steps, *train_lids;
    const int64 *probe_lids, *probe_bounds, *probe_intervals, *probe_places;
    real *samples;
    Control *control;
};

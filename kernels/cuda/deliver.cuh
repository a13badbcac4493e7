// Delivery of spikes into the ring, the input of the next steps
//
// A round has two halves, with a barrier after each. First, spikes are entered: a warp finds the
// rows that a spike has in all blocks and tables, and how many pieces of synapses they are. One
// atomic addition gives it a place among the entries and tells how many pieces come before its
// own; so entries are sorted by the number of pieces before them. Then the pieces are divided
// among all warps, whatever spike they belong to, so that a hub does not hold up the others.
// Spikes that find no room among the entries are left for another round.

#pragma once

#include "grid.cuh"

const int PIECE_BITS = 40;
const uint64 PIECE_MASK = ((uint64)1 << PIECE_BITS) - 1;

// Return the row that a source has in a block of a table, or -1
__device__ inline int64 find_row(const Machine &m, const Table &table, int64 block, int64 source) {
    const uint64 *group = table.sources + 2 * (block * m.n_source_groups + source / 64);
    const uint64 bit = (uint64)1 << (source % 64);
    if (!(group[0] & bit))
        return -1;
    return (int64)group[1] + __popcll(group[0] & (bit - 1));
}

__device__ inline void clear_round(Round &round) {
    round.reserved = round.left = 0;
    round.pieces = round.entries = ~(uint64)0;
}

// Enter all rows of a spike; the lanes of a warp do it together
__device__ inline void enter(const Machine &m, Round &round, Spike *left, int64 gid, int64 emitted) {
    const int64 n_rows = m.n_blocks * m.n_tables;
    const int lane = lane_number();
    uint64 own = 0;
    for (int64 k = lane; k < n_rows; k += WARP) {
        const Table &table = m.tables[k / m.n_blocks];
        const int64 row = find_row(m, table, k % m.n_blocks, gid);
        if (row >= 0)
            own += ((uint64)1 << PIECE_BITS) + (table.rows[row + 1] - table.rows[row]);
    }
    uint64 total;
    const uint64 before = sum_before(own, total);
    if (total == 0)
        return;
    uint64 reserved = 0;
    if (lane == 0)
        reserved = atomicAdd(&round.reserved, total);
    reserved = __shfl_sync(0xFFFFFFFFu, reserved, 0);
    if ((int64)((reserved + total) >> PIECE_BITS) > m.n_entries) {
        if (lane == 0) {
            atomicMin(&round.entries, reserved >> PIECE_BITS);
            atomicMin(&round.pieces, reserved & PIECE_MASK);
            left[atomicAdd(&round.left, (uint64)1)] = Spike{gid, emitted};
        }
        return;
    }
    uint64 place = reserved + before;
    for (int64 k = lane; k < n_rows; k += WARP) {
        const Table &table = m.tables[k / m.n_blocks];
        const int64 row = find_row(m, table, k % m.n_blocks, gid);
        if (row < 0)
            continue;
        const uint32 first = table.rows[row];
        m.entries[place >> PIECE_BITS] = Entry{(int64)(place & PIECE_MASK), first, k, emitted};
        place += ((uint64)1 << PIECE_BITS) + (table.rows[row + 1] - first);
    }
}

// Return the last of the entries that has no more than so many pieces before it; a warp together
__device__ inline int64 find_entry(const Entry *entries, int64 n_entries, int64 piece) {
    int64 low = 0, high = n_entries;
    while (high - low > 1) {
        const int64 stride = (high - low + WARP - 1) / WARP;
        const int64 probe = low + stride * lane_number();
        const bool before = probe < high && entries[probe].before <= piece;
        low += stride * (31 - __clz(__ballot_sync(0xFFFFFFFFu, before)));
        high = low + stride < high ? low + stride : high;
    }
    return low;
}

// Add the synapses of a piece to the input of the step in which they are due
__device__ inline void deliver_piece(
    const Machine &m, const Entry &entry, int64 number, int64 earliest) {
    const Table &table = m.tables[entry.where / m.n_blocks];
    const Piece piece = table.pieces[entry.first + number];
    const int64 due = entry.emitted + table.delays[piece.channel];
    if (due < earliest)
        return;
    const int64 slot = due & (m.n_slots - 1), receptor = table.receptors[piece.channel];
    int32 *input = m.ring + (slot * m.n_receptors + receptor) * m.n_neurons;
    input += m.blocks[entry.where % m.n_blocks];
    if (table.form == DRAWN) {
        const uint32 *words = (const uint32 *)table.words + piece.begin;
        const int down = 16 - (int)table.shift;
        for (uint32 k = lane_number(); k < piece.length; k += WARP)
            atomicAdd(input + (words[k] & 0xFFFF), (int32)(words[k] & 0xFFFF0000u) >> down);
    } else {
        const uint16 *words = (const uint16 *)table.words + piece.begin;
        const int32 *exact = table.exact + piece.begin;
        const int32 weight = table.weights[piece.channel];
        for (uint32 k = lane_number(); k < piece.length; k += WARP)
            atomicAdd(input + words[k], table.form == EXACT ? exact[k] : weight);
    }
}

// Deliver what has been entered, as far as it is due in a step or later
__device__ inline void deliver(const Machine &m, const Round &round, int64 earliest) {
    const uint64 reserved = round.reserved;
    const int64 n_pieces = (int64)min(round.pieces, reserved & PIECE_MASK);
    const int64 n_entries = (int64)min(round.entries, reserved >> PIECE_BITS);
    for (int64 piece = thread_number() / WARP; piece < n_pieces; piece += n_threads() / WARP) {
        const Entry entry = m.entries[find_entry(m.entries, n_entries, piece)];
        deliver_piece(m, entry, piece - entry.before, earliest);
    }
}

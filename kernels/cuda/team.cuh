// Blocks as ranks: each has a part of the neurons for itself
//
// A block keeps its part in its shared memory, with the input of the steps to come, and delivers
// every spike to its own neurons alone. So no other block touches what it works on, and blocks
// meet only as often as a spike of one could reach another; as ranks do, and the threads of the
// CPU (kernels/cpu/team.py). No barrier holds all of them: a block posts how many spikes it has in
// its mailbox, and waits for the posts of all. Two meetings have mailboxes in turn: a block that
// writes into one again has heard of a meeting for which all had read what was there.

#pragma once

#include "synapses.cuh"
#include "update.cuh"

// Spikes that a block lists at a time
const int32 LISTED = 1024;

// What the threads of a block share beside their part; the numbers are those of the meetings with
// even and with odd numbers
struct BlockScratch {
    int32 n_own[2];        // spikes of the block
    int32 n_received[2];   // spikes of all blocks
    int32 n_before[2];     // spikes of the blocks with lower numbers
    int64 list[LISTED];
    int64 cycles[2];       // of one thread in update and in delivery
    int64 since;           // when the present one of them began
};

// Copy some items; the threads of a block together
template <typename T> __device__ inline void copy(T *to, const T *from, int64 n) {
    for (uint32 k = threadIdx.x; k < (uint32)n; k += blockDim.x)
        to[k] = from[k];
}

// The memory of a block, which is given away piece by piece; as in kernels/cuda/team.py
struct Store {
    char *next;

    template <typename T> __device__ T *take(int64 n) {
        T *piece = (T *)next;
        next += (n * sizeof(T) + 15) / 16 * 16;
        return piece;
    }

    // Take room for some items, and put fewer or as many into it
    template <typename T> __device__ T *keep(const T *from, int64 n, int64 room) {
        T *piece = take<T>(room);
        copy(piece, from, n);
        return piece;
    }
};

enum Phase { UPDATING, DELIVERING };

struct TeamBlock {
    const DeviceShard &m;
    Part part;
    DeviceTable *tables;
    BlockScratch *scratch;
    uint32 meeting;        // number of the next one

    __device__ explicit TeamBlock(const DeviceShard &shard)
        : m(shard), part(part_of(m, blockIdx.x)), meeting((uint32)m.control->meetings + 1) {
        const Part far = part;
        const int64 n = far.n_neurons, room = m.part_size, inputs = m.n_slots * m.n_receptors;
        const int64 first_group = m.first_groups[far.number];
        const int64 n_groups = m.first_groups[far.number + 1] - first_group;
        Store store{shared_memory()};
        scratch = store.take<BlockScratch>(1);
        part.cursor = store.keep(far.cursor, 1, 1);
        part.segments = store.keep(far.segments, far.n_segments, m.most_segments);
        part.groups = store.keep(far.groups, n_groups, m.most_groups);
        part.gids = store.keep(far.gids, n, room);
        part.columns = store.keep(far.columns, far.n_columns, m.most_columns);
        part.numbers = store.keep(far.numbers, far.n_numbers, m.most_numbers);
        part.ring = store.keep(far.ring, inputs * n, inputs * room);
        part.segment_of = store.keep(far.segment_of, n, room);
        part.thresholds = store.keep(m.thresholds, m.n_thresholds, m.n_thresholds);
        part.refractory = store.keep(far.refractory, n, room);
        tables = store.keep(m.tables, m.n_tables, m.n_tables);
        __syncthreads();
        for (int64 k = 0; k < m.n_tables; ++k) {
            const int64 n_channels = m.tables[k].n_channels;
            const Channel *own = store.keep(m.tables[k].channels, n_channels, n_channels);
            if (threadIdx.x == 0)
                tables[k].channels = own;
        }
        const int k = threadIdx.x;
        if (k < 2)
            scratch->n_own[k] = scratch->n_received[k] = scratch->n_before[k] =
                scratch->cycles[k] = 0;
        if (k == 0)
            scratch->since = clock64();
        if (in_last_warp())
            prepare(m, part, m.control->step);
        __syncthreads();
    }

    // Tell whether this thread acts for the block: one in the last warp, which has few neurons
    __device__ bool is_leader() const { return threadIdx.x == blockDim.x - 1; }

    __device__ bool in_last_warp() const { return threadIdx.x >= blockDim.x - WARP; }

    // A phase is over
    __device__ void lap(int phase) {
        if (!is_leader())
            return;
        const int64 now = clock64();
        scratch->cycles[phase] += now - scratch->since;
        scratch->since = now;
    }

    // Keep what the next launch goes on from; the threads have met
    __device__ void leave(int64 n_drawn) {
        const Part far = part_of(m, blockIdx.x);
        const int64 n = part.n_neurons;
        if (threadIdx.x == 0) {
            *far.cursor = *part.cursor;
            far.cursor->drawn = n_drawn;
        }
        copy(far.numbers, part.numbers, part.n_numbers);
        copy(far.columns, part.columns, part.n_columns);
        copy(far.ring, part.ring, m.n_slots * m.n_receptors * n);
        copy(far.refractory, part.refractory, n);
    }

    // Tell host and next launch where this one ended; the first block does it. Blocks that have not
    // met have nothing new to tell, and may still read
    __device__ void write_report(Report &report, int64 step, int64 n_spikes) const {
        if (part.number > 0 || !is_leader())
            return;
        if (meeting - 1 != m.control->meetings) {
            m.control->step = step;
            m.control->meetings = meeting - 1;
        }
        report.step = step;
        report.n_spikes = n_spikes;
        report.update_cycles = scratch->cycles[UPDATING];
        report.deliver_cycles = scratch->cycles[DELIVERING];
    }

    __device__ uint32 turn() const { return meeting & 1; }

    // Return the mailbox of a block for the next meeting
    __device__ int64 *mailbox(uint32 block) const {
        return m.mail + (turn() * (uint32)m.n_parts + block) * m.room;
    }

    // Keep a spike, or several of one neuron, for the next meeting
    __device__ void emit(int64 word, int32 n) {
        int64 *place = mailbox(part.number) + atomicAdd(&scratch->n_own[turn()], n);
#pragma unroll 1
        for (int32 k = 0; k < n; ++k)
            place[k] = word;
    }

    // Advance the neurons by a step; spikes have the offset
    __device__ void update_all(int64 step, int64 offset) {
#pragma unroll 1
        for (int32 k = threadIdx.x; k < part.n_neurons; k += blockDim.x) {
            const int32 n = update<true>(m, part, step, k);
            if (n > 0)
                emit(offset << GID_BITS | part.gids[k], n);
        }
    }

    // Draw the Poisson input of a step to come, while others are waited for
    __device__ void draw_all(int64 step) {
#pragma unroll 1
        for (int32 k = threadIdx.x; m.most_groups > 0 && k < part.n_neurons; k += blockDim.x)
            draw_input(m, part, step, k);
    }

    // Let sources emit the given spikes of the step
    __device__ void emit_trains(int64 offset) {
        for (int64 k = part.cursor->train + threadIdx.x; k < part.cursor->trains; k += blockDim.x)
            emit(offset << GID_BITS | m.gids[m.train_lids[k]], 1);
    }

    // Tell all blocks how many spikes this one has; its threads have emitted them, and met
    __device__ void post() {
        if (!is_leader())
            return;
        uint64 *place = m.posts + turn() * (uint32)m.n_parts + part.number;
        store_release(place, (uint64)meeting << 32 | (uint32)scratch->n_own[turn()]);
        const uint32 next = 1 - turn();
        scratch->n_own[next] = scratch->n_received[next] = scratch->n_before[next] = 0;
    }

    // Wait for the post of a block; return how many spikes it has
    __device__ int32 wait_for(uint32 block) const {
        const uint64 *place = m.posts + turn() * (uint32)m.n_parts + block;
        while (true) {
            const uint64 post = load_acquire(place);
            if (post >> 32 == meeting)
                return (int32)(uint32)post;
        }
    }

    // List the spikes of a block whose places among those of all are not before `first`
    __device__ void list(int32 block, int32 place, int32 n, int32 first) {
        const int64 *words = mailbox(block);
        const int32 end = min(place + n, first + LISTED);
#pragma unroll 4
        for (int32 k = place < first ? first : place; k < end; ++k)
            scratch->list[k - first] = words[k - place];
    }

    // Receive the spikes of all blocks, which count from `origin`, and deliver them; keep those of
    // this block in the report, where there are some already. Return how many there are
    __device__ int64 receive(int64 origin, int64 *report) {
        const int block = blockDim.x - 1 - threadIdx.x;
        int32 n = 0, place = 0;
        if (block < m.n_parts && (n = wait_for(block)) > 0) {
            place = atomicAdd(&scratch->n_received[turn()], n);
            if (block < part.number)
                atomicAdd(&scratch->n_before[turn()], n);
        }
        int32 n_received, first = 0;
        do {
            list(block, place, n, first);
            __syncthreads();
            n_received = scratch->n_received[turn()];
            if (first == 0)
                keep(report + scratch->n_before[turn()]);
            deliver(scratch->list, min(LISTED, n_received - first), origin, 0);
            first += LISTED;
            __syncthreads();
        } while (first < n_received);
        ++meeting;
        return n_received;
    }

    // Copy the spikes of this block; the last warp does it
    __device__ void keep(int64 *places) const {
        const int64 *words = mailbox(part.number);
        if (in_last_warp())
            for (int64 k = lane_number(); k < scratch->n_own[turn()]; k += WARP)
                places[k] = words[k];
    }

    // Deliver no more than `LISTED` spikes, which count from `origin`, to the own neurons, as far
    // as they are due in a step or later; each warp takes a spike and a table in turn
    __device__ void deliver(const int64 *words, int32 n, int64 origin, int64 earliest) {
        int32 k = threadIdx.x / WARP;
        for (int64 t = 0; t < m.n_tables; ++t, k -= n) {
            const DeviceTable &table = tables[t];
#pragma unroll 1
            for (; k < n; k += blockDim.x / WARP) {
                const int64 word = words[k], emitted = origin + (word >> GID_BITS);
                const Row row = find_row(table, word & GID_MASK, part.number, m.n_parts);
                deliver_row<2>(m, part, table, row.first, row.first + row.size, emitted, earliest);
            }
        }
    }

    // Deliver spikes from elsewhere
    __device__ void deliver_remote(const int64 *words, int64 n, int64 origin, int64 earliest) {
        for (int64 first = 0; first < n; first += LISTED)
            deliver(words + first, (int32)min((int64)LISTED, n - first), origin, earliest);
        __syncthreads();
    }
};

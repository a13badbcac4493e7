// The loops over the steps of a launch: of a grid that shares all neurons, and of a team of blocks
// each of which has neurons of its own

#include "deliver.cuh"
#include "synapse_draws.cuh"
#include "index.cuh"
#include "team.cuh"
#include "update.cuh"

// What the host and this must agree about, see kernels/cuda/structs.py
#include "agreement.cuh"

// Entering and delivering, in rounds that share their counters in turn
struct Rounds {
    const DeviceShard &m;
    const Part all;
    int turn;

    __device__ Round &now() { return m.control->rounds[turn]; }

    __device__ Spike *left() { return m.left + turn * m.n_left; }

    __device__ void barrier() { grid_barrier(&m.control->barrier); }

    __device__ void enter_spikes(bool spikes, int64 gid, int64 emitted) {
        enter(m, now(), left(), spikes, gid, emitted);
    }

    // Deliver what has been entered; all threads have entered theirs, and met
    __device__ void finish(int64 earliest) {
        while (true) {
            deliver(m, all, now(), earliest);
            if (thread_number() == 0)
                clear_round(m.control->rounds[1 - turn]);
            barrier();
            const int64 n_left = now().left;
            const Spike *spikes = left();
            turn = 1 - turn;
            if (n_left == 0)
                return;
            for (int64 first = first_of_warp(); first < n_left; first += n_threads()) {
                const int64 k = first + lane_number();
                const Spike spike = k < n_left ? spikes[k] : Spike{0, 0};
                enter_spikes(k < n_left, spike.gid, spike.emitted);
            }
            barrier();
        }
    }
};

// Where the spikes of a launch go
struct Outbox {
    Report *report;
    int64 origin;          // the step of spikes with offset 0

    // Keep the spike of each lane that has one; a warp together
    __device__ void put(bool spikes, int64 step, int64 gid) {
        const uint32 all = __ballot_sync(0xFFFFFFFFu, spikes);
        if (all == 0)
            return;
        const int lane = lane_number(), leader = __ffs(all) - 1;
        uint64 place = 0;
        if (lane == leader)
            place = atomicAdd(&report->n_spikes, (uint64)__popcll(all));
        place = __shfl_sync(0xFFFFFFFFu, place, leader) + __popcll(all & ((1u << lane) - 1));
        if (spikes)
            ((int64 *)(report + 1))[place] = (step - origin) << GID_BITS | gid;
    }
};

// Advance all neurons by a step, and let those that reach the threshold spike
__device__ inline void update_all(Rounds &rounds, Outbox &outbox, int64 step) {
    const DeviceShard &m = rounds.m;
    for (int64 first = first_of_warp(); first < m.n_neurons; first += n_threads()) {
        const int64 lid = first + lane_number();
        int32 n = lid < m.n_neurons ? update<false>(m, rounds.all, step, lid) : 0;
        while (__ballot_sync(0xFFFFFFFFu, n > 0)) {
            const int64 gid = n > 0 ? m.gids[lid] : 0;
            outbox.put(n > 0, step, gid);
            rounds.enter_spikes(n > 0, gid, step);
            n -= n > 0;
        }
    }
}

// Let sources emit the given spikes of a step
__device__ inline void emit_trains(Rounds &rounds, Outbox &outbox, int64 step) {
    const DeviceShard &m = rounds.m;
    const Cursor &cursor = *rounds.all.cursor;
    for (int64 first = cursor.train + first_of_warp(); first < cursor.trains;
         first += n_threads()) {
        const int64 k = first + lane_number();
        const int64 gid = k < cursor.trains ? m.gids[m.train_lids[k]] : 0;
        outbox.put(k < cursor.trains, step, gid);
        rounds.enter_spikes(k < cursor.trains, gid, step);
    }
}

// Enter spikes that were emitted before, as far as they are due from a step on
__device__ inline void enter_remote(
    Rounds &rounds, int64 step, int64 origin, const int64 *remote, int64 n_remote) {
    for (int64 first = first_of_warp(); first < n_remote; first += n_threads()) {
        const int64 k = first + lane_number(), word = k < n_remote ? remote[k] : 0;
        rounds.enter_spikes(k < n_remote, word & GID_MASK, origin + (word >> GID_BITS));
    }
    rounds.barrier();
    rounds.finish(step);
}

// Advance from where the last launch ended to a step, or until there is no room for the spikes of
// another one. Spikes are counted from the step `origin`, those from elsewhere from `remote_origin`
extern "C" __global__ void __launch_bounds__(768, 1) advance_grid(
    const DeviceShard shard, Report *report, int64 origin, int64 end, int64 remote_origin,
    const int64 *remote, int64 n_remote) {
    Rounds rounds{shard, part_of(shard, 0), 0};
    Outbox outbox{report, origin};
    const DeviceShard &m = rounds.m;
    const int64 begun = clock64();
    int64 step = m.control->step, updating = 0;
    if (thread_number() == 0) {
        report->n_spikes = 0;
        clear_round(m.control->rounds[0]);
    }
    if (thread_number() < WARP)
        prepare(m, rounds.all, step);
    rounds.barrier();
    if (n_remote > 0)
        enter_remote(rounds, step, remote_origin, remote, n_remote);
    while (step < end) {
        updating -= clock64();
        update_all(rounds, outbox, step);
        emit_trains(rounds, outbox, step);
        rounds.barrier();
        updating += clock64();
        sample(m, rounds.all, origin, step, thread_number(), n_threads());
        if (thread_number() < WARP)
            prepare(m, rounds.all, step + 1);
        if (thread_number() == 0)
            m.control->stopped = m.n_words - (int64)report->n_spikes < m.most_spikes;
        rounds.finish(step + 1);
        ++step;
        if (m.control->stopped)
            break;
    }
    if (thread_number() == 0) {
        m.control->step = report->step = step;
        report->update_cycles = updating;
        report->deliver_cycles = clock64() - begun - updating;
    }
}

// The same, by a team; it stops where there is no room for the spikes up to another meeting
extern "C" __global__ void __launch_bounds__(1024, 1) advance_team(
    const DeviceShard shard, Report *report, int64 origin, int64 end, int64 remote_origin,
    const int64 *remote, int64 n_remote) {
    TeamBlock own(shard);
    const DeviceShard &m = own.m;
    const int64 most = m.interval * m.most_spikes;
    int64 step = m.control->step, n_spikes = 0;
    int64 n_drawn = own.part.cursor->drawn;

    // Whoever takes no step leaves no input behind: the next launch may begin elsewhere
    if (n_drawn <= step && step < end) {
        own.draw_all(step);
        n_drawn = step + 1;
    }
    own.deliver_remote(remote, n_remote, remote_origin, step);
    while (step < end && m.n_words - n_spikes >= most) {
        own.lap(DELIVERING);
        const int64 stop = min(step + m.interval, end);
        for (bool meets = false; !meets;) {
            own.update_all(step, step - origin);
            own.emit_trains(step - origin);
            __syncthreads();
            meets = ++step == stop;
            if (meets)
                own.post();
            sample(m, own.part, origin, step - 1, threadIdx.x, blockDim.x);
            if (own.in_last_warp())
                prepare(m, own.part, step);
            own.draw_all(step);
            n_drawn = step + 1;
            if (!meets)
                __syncthreads();
        }
        own.lap(UPDATING);
        n_spikes += own.receive(origin, (int64 *)(report + 1) + n_spikes);
    }
    own.lap(DELIVERING);
    own.leave(n_drawn);
    own.write_report(*report, step, n_spikes);
}

// The loops over the steps of a launch: of a grid that shares all neurons, and of a team of blocks
// each of which has neurons of its own

#include "deliver.cuh"
#include "team.cuh"
#include "update.cuh"

// Entering and delivering, in rounds that share their counters in turn
struct Rounds {
    const Machine &m;
    const Part all;
    int turn;

    __device__ Round &now() { return m.control->rounds[turn]; }

    __device__ Spike *left() { return m.left + turn * m.n_left; }

    __device__ void barrier() { grid_barrier(&m.control->barrier); }

    __device__ void enter_spike(int64 gid, int64 emitted) {
        enter(m, now(), left(), gid, emitted);
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
            for (int64 k = thread_number() / WARP; k < n_left; k += n_threads() / WARP)
                enter_spike(spikes[k].gid, spikes[k].emitted);
            barrier();
        }
    }
};

// Where the spikes of a launch go
struct Outbox {
    Report *report;
    int64 origin;          // the step of spikes with offset 0

    __device__ void put(int64 step, int64 gid) {
        int64 *words = (int64 *)(report + 1);
        words[atomicAdd(&report->n_spikes, (uint64)1)] = (step - origin) << GID_BITS | gid;
    }
};

// Let a neuron spike: keep the spike, and enter it; a warp together
__device__ inline void emit(Rounds &rounds, Outbox &outbox, int64 step, int64 gid) {
    if (lane_number() == 0)
        outbox.put(step, gid);
    rounds.enter_spike(gid, step);
}

// Advance all neurons by a step, and let those that reach the threshold spike
__device__ inline void update_all(Rounds &rounds, Outbox &outbox, int64 step) {
    const Machine &m = rounds.m;
    const int lane = lane_number();
    for (int64 first = thread_number() - lane; first < m.n_neurons; first += n_threads()) {
        const int64 lid = first + lane;
        int32 n = lid < m.n_neurons ? update(m, rounds.all, step, lid) : 0;
        const int64 gid = lid < m.n_neurons ? m.gids[lid] : 0;
        uint32 spiking;
        while ((spiking = __ballot_sync(0xFFFFFFFFu, n > 0))) {
            const int speaker = __ffs(spiking) - 1;
            emit(rounds, outbox, step, __shfl_sync(0xFFFFFFFFu, gid, speaker));
            n -= lane == speaker;
        }
    }
}

// Let sources emit the given spikes of a step
__device__ inline void emit_trains(Rounds &rounds, Outbox &outbox, int64 step) {
    const Machine &m = rounds.m;
    const int64 warp = thread_number() / WARP, n_warps = n_threads() / WARP;
    const Cursor &cursor = *rounds.all.cursor;
    for (int64 k = cursor.train + warp; k < cursor.trains; k += n_warps)
        emit(rounds, outbox, step, m.gids[m.train_lids[k]]);
}

// Enter spikes that were emitted before, as far as they are due from a step on
__device__ inline void enter_remote(
    Rounds &rounds, int64 step, int64 origin, const int64 *remote, int64 n_remote) {
    const int64 warp = thread_number() / WARP, n_warps = n_threads() / WARP;
    for (int64 k = warp; k < n_remote; k += n_warps)
        rounds.enter_spike(remote[k] & GID_MASK, origin + (remote[k] >> GID_BITS));
    rounds.barrier();
    rounds.finish(step);
}

// Advance from where the last launch ended to a step, or until there is no room for the spikes of
// another one. Spikes are counted from the step `origin`, those from elsewhere from `remote_origin`
extern "C" __global__ void __launch_bounds__(512, 1) advance_grid(
    const Machine machine, Report *report, int64 origin, int64 end, int64 remote_origin,
    const int64 *remote, int64 n_remote) {
    Rounds rounds{machine, part_of(machine, 0), 0};
    Outbox outbox{report, origin};
    const Machine &m = rounds.m;
    const bool first = thread_number() == 0;
    int64 step = m.control->step, updating = 0, delivering = 0, met = clock64();
    if (first) {
        report->n_spikes = 0;
        clear_round(m.control->rounds[0]);
    }
    if (thread_number() < WARP)
        prepare(m, rounds.all, step);
    rounds.barrier();
    if (n_remote > 0)
        enter_remote(rounds, step, remote_origin, remote, n_remote);
    while (step < end) {
        const int64 begun = clock64();
        delivering += begun - met;
        update_all(rounds, outbox, step);
        emit_trains(rounds, outbox, step);
        rounds.barrier();
        met = clock64();
        updating += met - begun;
        sample(m, rounds.all, origin, step, thread_number(), n_threads());
        if (thread_number() < WARP)
            prepare(m, rounds.all, step + 1);
        if (first)
            m.control->stopped = m.n_words - (int64)report->n_spikes < m.most_spikes;
        rounds.finish(step + 1);
        ++step;
        if (m.control->stopped)
            break;
    }
    if (first) {
        delivering += clock64() - met;
        m.control->step = report->step = step;
        report->update_cycles = updating;
        report->deliver_cycles = delivering;
    }
}

// The same, by a team; it stops where there is no room for the spikes up to another meeting
extern "C" __global__ void __launch_bounds__(1024, 1) advance_team(
    const Machine machine, Report *report, int64 origin, int64 end, int64 remote_origin,
    const int64 *remote, int64 n_remote) {
    Member own(machine);
    const Machine &m = own.m;
    const int64 most = m.interval * m.most_spikes;
    int64 step = m.control->step, n_spikes = 0;
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
            if (threadIdx.x < WARP)
                prepare(m, own.part, step);
            if (!meets)
                __syncthreads();
        }
        own.lap(UPDATING);
        n_spikes += own.hear(origin, (int64 *)(report + 1) + n_spikes);
    }
    own.lap(DELIVERING);
    own.leave();
    if (thread_number() == 0)
        own.sign(*report, step, n_spikes);
}

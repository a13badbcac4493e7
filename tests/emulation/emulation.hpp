// CUDA on one thread of a CPU: every thread of a launch is a fiber, and they take turns
//
// It shows wrong results, wrong addresses (with -fsanitize=address,undefined) and threads that
// wait for others that never come. It shows neither races nor how long something takes.

#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <vector>

#define EMULATED
#define __device__
#define __global__
#define __launch_bounds__(...)

namespace emulation {

const int WIDTH = 32;
const size_t STACK_BYTES = 1 << 16;

struct Index {
    unsigned x;
};

// Something that a number of threads wait for, again and again
struct Meeting {
    int size, arrived = 0;
    long number = 0;
    uint64_t slots[2][WIDTH];
};

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    Index thread, block;
    Meeting *warp, *team;
    bool done = false;
};

inline Index block_size, grid_size;
inline std::vector<Fiber> fibers;
inline std::vector<Meeting> warps, teams;
inline Meeting everyone;
inline ucontext_t home;
inline size_t current;
inline long meetings, quiet;

// Let the next thread run; give up when all have run in vain
inline void yield() {
    if (++quiet > 4 * (long)fibers.size()) {
        fprintf(stderr, "emulation: all threads wait\n");
        abort();
    }
    const size_t from = current;
    do
        current = (current + 1) % fibers.size();
    while (fibers[current].done && current != from);
    if (current != from)
        swapcontext(&fibers[from].context, &fibers[current].context);
}

inline long meet(Meeting &meeting) {
    const long number = meeting.number;
    if (++meeting.arrived == meeting.size) {
        meeting.arrived = 0;
        ++meeting.number;
        quiet = 0;
    }
    while (meeting.number == number)
        yield();
    return number;
}

// Show a value to the other lanes; return what they show
template <typename T> const uint64_t *show(T value) {
    Fiber &own = fibers[current];
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    own.warp->slots[own.warp->number & 1][own.thread.x % WIDTH] = bits;
    return own.warp->slots[meet(*own.warp) & 1];
}

template <typename T> T taken(const uint64_t *slots, int lane) {
    T value;
    memcpy(&value, &slots[lane], sizeof(T));
    return value;
}

template <typename Kernel> struct Running {
    static inline Kernel *kernel;
};

template <typename Kernel> void run_fiber() {
    (*Running<Kernel>::kernel)();
    Fiber &own = fibers[current];
    own.done = true;
    quiet = 0;
    for (size_t k = 1; k < fibers.size(); ++k) {
        const size_t next = (current + k) % fibers.size();
        if (!fibers[next].done) {
            current = next;
            setcontext(&fibers[next].context);
        }
    }
    setcontext(&home);
}

template <typename Kernel> void launch(unsigned n_blocks, unsigned n_threads, Kernel kernel) {
    block_size.x = n_threads;
    grid_size.x = n_blocks;
    const size_t n = (size_t)n_blocks * n_threads;
    fibers = std::vector<Fiber>(n);
    warps = std::vector<Meeting>(n / WIDTH);
    teams = std::vector<Meeting>(n_blocks);
    for (Meeting &warp : warps)
        warp.size = WIDTH;
    for (Meeting &team : teams)
        team.size = n_threads;
    everyone = Meeting();
    everyone.size = n;
    for (size_t k = 0; k < n; ++k) {
        Fiber &fiber = fibers[k];
        fiber.block.x = k / n_threads;
        fiber.thread.x = k % n_threads;
        fiber.warp = &warps[k / WIDTH];
        fiber.team = &teams[fiber.block.x];
        fiber.stack.resize(STACK_BYTES);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = STACK_BYTES;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, run_fiber<Kernel>, 0);
    }
    Running<Kernel>::kernel = &kernel;
    current = quiet = 0;
    swapcontext(&home, &fibers[0].context);
}

} // namespace emulation

#define threadIdx (emulation::fibers[emulation::current].thread)
#define blockIdx (emulation::fibers[emulation::current].block)
#define blockDim (emulation::block_size)
#define gridDim (emulation::grid_size)

inline void __syncthreads() { emulation::meet(*emulation::fibers[emulation::current].team); }

template <typename T> T __shfl_sync(unsigned, T value, int lane) {
    return emulation::taken<T>(emulation::show(value), lane);
}

template <typename T> T __shfl_up_sync(unsigned, T value, int distance) {
    const int lane = threadIdx.x % emulation::WIDTH;
    const uint64_t *slots = emulation::show(value);
    return emulation::taken<T>(slots, lane < distance ? lane : lane - distance);
}

inline unsigned __ballot_sync(unsigned, bool value) {
    const uint64_t *slots = emulation::show<unsigned>(value);
    unsigned votes = 0;
    for (int lane = 0; lane < emulation::WIDTH; ++lane)
        votes |= emulation::taken<unsigned>(slots, lane) << lane;
    return votes;
}

template <typename T> T atomicAdd(T *place, T value) {
    const T before = *place;
    // As a device does it, beyond the largest number too
    *place = (T)((unsigned long long)before + (unsigned long long)value);
    return before;
}

template <typename T> T atomicMin(T *place, T value) {
    const T before = *place;
    *place = value < before ? value : before;
    return before;
}

inline int __ffs(unsigned value) { return __builtin_ffs((int)value); }
inline int __clz(unsigned value) { return value ? __builtin_clz(value) : 32; }
inline int __popcll(unsigned long long value) { return __builtin_popcountll(value); }
template <typename T> T min(T a, T b) { return b < a ? b : a; }

// Something that grows, as the counter of cycles does
inline long long clock64() {
    return std::chrono::steady_clock::now().time_since_epoch().count();
}

// The barrier of a whole launch; that of the device needs threads that run at the same time
inline void grid_barrier(unsigned long long *) { emulation::meet(emulation::everyone); }

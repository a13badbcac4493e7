// Every thread of a launch is a fiber on one thread of the CPU, and they take turns

#pragma once

#include <cstdio>
#include <cstdlib>
#include <ucontext.h>
#include <vector>

namespace emulation {

const size_t STACK_BYTES = 1 << 16;

// Something that a number of threads wait for, again and again
struct Meeting {
    int size, arrived = 0;
    long number = 0;
    uint64_t slots[2][WIDTH];
};

struct Self {
    Index thread, block;
    Meeting *warp, *team;
    char *shared;
};

struct Fiber : Self {
    ucontext_t context;
    std::vector<char> stack;
    bool done = false;
};

inline std::vector<Fiber> fibers;
inline std::vector<Meeting> warps, teams;
inline Meeting everyone;
inline ucontext_t home;
inline size_t current;
inline long quiet;

inline Self &self() { return fibers[current]; }

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

template <typename Kernel>
void launch(unsigned n_blocks, unsigned n_threads, size_t shared_bytes, Kernel kernel) {
    SharedMemory shared(n_blocks, shared_bytes);
    block_size.x = n_threads;
    grid_size.x = n_blocks;
    const size_t n = (size_t)n_blocks * n_threads;
    if (fibers.size() != n)
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
        fiber.done = false;
        fiber.block.x = k / n_threads;
        fiber.thread.x = k % n_threads;
        fiber.warp = &warps[k / WIDTH];
        fiber.team = &teams[fiber.block.x];
        fiber.shared = shared.blocks[fiber.block.x].get();
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

// Let the others run before each look, until one of them stores something
inline unsigned long long load_acquire(const unsigned long long *place) {
    emulation::yield();
    return *place;
}

inline void store_release(unsigned long long *place, unsigned long long value) {
    *place = value;
    emulation::quiet = 0;
}

// The barrier of a whole launch; that of the device needs threads that run at the same time
inline void grid_barrier(unsigned long long *) { emulation::meet(emulation::everyone); }

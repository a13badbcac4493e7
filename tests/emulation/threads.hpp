// Every thread of a launch is a thread of the system

#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace emulation {

// Something that a number of threads wait for, again and again
struct Meeting {
    int size = 0, arrived = 0;
    long number = 0;
    uint64_t slots[2][WIDTH];
    std::mutex mutex;
    std::condition_variable over;
};

struct Self {
    Index thread, block;
    Meeting *warp, *team;
    char *shared;
};

inline thread_local Self own_self;

inline Self &self() { return own_self; }

inline long meet(Meeting &meeting) {
    std::unique_lock<std::mutex> lock(meeting.mutex);
    const long number = meeting.number;
    if (++meeting.arrived == meeting.size) {
        meeting.arrived = 0;
        ++meeting.number;
        meeting.over.notify_all();
    }
    while (meeting.number == number)
        meeting.over.wait(lock);
    return number;
}

template <typename Kernel>
void launch(unsigned n_blocks, unsigned n_threads, size_t shared_bytes, Kernel kernel) {
    SharedMemory shared(n_blocks, shared_bytes);
    block_size.x = n_threads;
    grid_size.x = n_blocks;
    const unsigned n = n_blocks * n_threads;
    std::deque<Meeting> warps(n / WIDTH), teams(n_blocks);
    for (Meeting &warp : warps)
        warp.size = WIDTH;
    for (Meeting &team : teams)
        team.size = n_threads;
    std::vector<std::thread> threads;
    for (unsigned k = 0; k < n; ++k)
        threads.emplace_back([&, k] {
            const unsigned block = k / n_threads;
            char *own = shared.blocks[block].get();
            own_self = Self{{k % n_threads}, {block}, &warps[k / WIDTH], &teams[block], own};
            kernel();
        });
    for (std::thread &thread : threads)
        thread.join();
}

} // namespace emulation

// What the barrier of a whole launch, and the posts of a team, are made of
inline unsigned long long load_acquire(const unsigned long long *place) {
    std::this_thread::yield();
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

inline void store_release(unsigned long long *place, unsigned long long value) {
    __atomic_store_n(place, value, __ATOMIC_RELEASE);
}

inline unsigned long long add_release(unsigned long long *place, unsigned long long value) {
    return __atomic_fetch_add(place, value, __ATOMIC_RELEASE);
}

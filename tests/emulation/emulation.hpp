// CUDA on a CPU: the words of the kernels, on top of threads that meet
//
// Every thread of a launch is a fiber (fibers.hpp), or a thread of the system (threads.hpp, with
// -DTHREADS). Fibers are fast, and show wrong results, wrong addresses (with
// -fsanitize=address,undefined) and threads that wait for others that never come. Threads show
// races between warps and blocks (with -fsanitize=thread). Neither shows how long something takes.

#pragma once

#include <chrono>
#include <cstdint>
#include <cstring>
#include <math.h>
#include <memory>
#include <vector>

#define EMULATED
#define __device__
#define __global__
#define __launch_bounds__(...)

namespace emulation {

const int WIDTH = 32;

struct Index {
    unsigned x;
};

inline Index block_size, grid_size;

// What the threads of each block share; rubbish at first, and no more than was asked for
struct SharedMemory {
    std::vector<std::unique_ptr<char[]>> blocks;

    SharedMemory(unsigned n_blocks, size_t bytes) {
        for (unsigned k = 0; k < n_blocks; ++k) {
            blocks.emplace_back(new char[bytes]);
            memset(blocks.back().get(), 0xA5, bytes);
        }
    }
};

} // namespace emulation

#ifdef THREADS
#include "threads.hpp"
#else
#define FIBERS
#include "fibers.hpp"
#endif

namespace emulation {

// Show a value to the other lanes; return what they show
template <typename T> const uint64_t *show(T value) {
    Self &own = self();
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

} // namespace emulation

#define threadIdx (emulation::self().thread)
#define blockIdx (emulation::self().block)
#define blockDim (emulation::block_size)
#define gridDim (emulation::grid_size)

inline char *shared_memory() { return emulation::self().shared; }

inline void __syncthreads() { emulation::meet(*emulation::self().team); }

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

inline unsigned __match_any_sync(unsigned, unsigned value) {
    const uint64_t *slots = emulation::show(value);
    unsigned same = 0;
    for (int lane = 0; lane < emulation::WIDTH; ++lane)
        same |= (unsigned)(emulation::taken<unsigned>(slots, lane) == value) << lane;
    return same;
}

inline void __syncwarp() { emulation::meet(*emulation::self().warp); }

template <typename T> T atomicAdd(T *place, T value) {
    return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);
}

template <typename T> T atomicCAS(T *place, T before, T after) {
    __atomic_compare_exchange_n(
        place, &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return before;
}

template <typename T> T atomicMin(T *place, T value) {
    T before = __atomic_load_n(place, __ATOMIC_RELAXED);
    while (value < before &&
           !__atomic_compare_exchange_n(
               place, &before, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return before;
}

template <typename T> T load(const T *place) { return __atomic_load_n(place, __ATOMIC_RELAXED); }

inline int __ffs(unsigned value) { return __builtin_ffs((int)value); }
inline int __clz(unsigned value) { return value ? __builtin_clz(value) : 32; }
inline long long __double_as_longlong(double value) {
    long long bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline double __longlong_as_double(long long bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
inline int __float_as_int(float value) {
    int bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline float __int_as_float(int bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __popcll(unsigned long long value) { return __builtin_popcountll(value); }
template <typename T> T min(T a, T b) { return b < a ? b : a; }

// Something that grows, as the counter of cycles does
inline long long clock64() {
    return std::chrono::steady_clock::now().time_since_epoch().count();
}

// Threads, warps and blocks, and how those of a whole launch wait for each other

#pragma once

#include "structs.cuh"

#ifndef EMULATED

__device__ inline uint64 load_acquire(const uint64 *place) {
    uint64 value;
    asm volatile("ld.acquire.gpu.u64 %0, [%1];" : "=l"(value) : "l"(place) : "memory");
    return value;
}

__device__ inline void store_release(uint64 *place, uint64 value) {
    asm volatile("st.release.gpu.u64 [%0], %1;" : : "l"(place), "l"(value) : "memory");
}

__device__ inline uint64 add_release(uint64 *place, uint64 value) {
    uint64 before;
    asm volatile("atom.add.release.gpu.u64 %0, [%1], %2;"
                 : "=l"(before) : "l"(place), "l"(value) : "memory");
    return before;
}

// Read what other threads change at the same time
__device__ inline uint64 load(const uint64 *place) { return *(const volatile uint64 *)place; }

// The memory that the threads of a block share, as large as the launch says
__device__ inline char *shared_memory() {
    extern __shared__ double memory[];
    return (char *)memory;
}

#endif

#ifndef FIBERS

// Wait for all threads of the launch; all blocks are resident
//
// The blocks together add half the range of the counter, so that its highest bit changes when the
// last one comes, and the counter is ready for the next time, also in another launch.
__device__ inline void grid_barrier(uint64 *counter) {
    const uint64 half = (uint64)1 << 63;
    __syncthreads();
    if (threadIdx.x == 0) {
        const uint64 own = blockIdx.x == 0 ? half - (gridDim.x - 1) : 1;
        const uint64 before = add_release(counter, own);
        while (((load_acquire(counter) ^ before) & half) == 0) {
        }
    }
    __syncthreads();
}

#endif

__device__ inline int64 thread_number() {
    return (int64)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ inline int64 n_threads() { return (int64)gridDim.x * blockDim.x; }

__device__ inline int lane_number() { return threadIdx.x % WARP; }

__device__ inline int64 first_of_warp() { return thread_number() - lane_number(); }

// Sum over the lanes before this one; all lanes of the warp call it. Total receives that of all
__device__ inline uint64 sum_before(uint64 value, uint64 &total) {
    const int lane = lane_number();
    uint64 sum = value;
    for (int distance = 1; distance < WARP; distance *= 2) {
        const uint64 other = __shfl_up_sync(0xFFFFFFFFu, sum, distance);
        if (lane >= distance)
            sum += other;
    }
    total = __shfl_sync(0xFFFFFFFFu, sum, WARP - 1);
    return sum - value;
}

// Count the numbers of an ascending list, from one on, that are less than another; a warp together
__device__ inline int64 count_less(const int64 *list, int64 begin, int64 end, int64 limit) {
    for (int64 first = begin;; first += WARP) {
        const int64 k = first + lane_number();
        const uint32 less = __ballot_sync(0xFFFFFFFFu, k < end && list[k] < limit);
        if (less != 0xFFFFFFFFu)
            return first - begin + __popcll(less);
    }
}

// Random words and numbers; the layout of the counter is that of simcore.numerics.random

#pragma once

#include "structs.cuh"

// What a draw gives: four words of Philox 4x32-10 (Salmon et al. 2011)
struct Words {
    uint32 w0, w1, w2, w3;
};

__device__ inline Words draw_words(uint64 seed, uint32 stream, uint64 gid, uint64 index) {
    uint32 c0 = (uint32)index, c1 = (uint32)gid;
    uint32 c2 = (uint32)(gid >> 32) | (uint32)(index >> 32) << 16, c3 = stream;
    uint32 k0 = (uint32)seed, k1 = (uint32)(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64 left = (uint64)0xD2511F53u * c0, right = (uint64)0xCD9E8D57u * c2;
        c0 = (uint32)(right >> 32) ^ c1 ^ k0;
        c1 = (uint32)right;
        c2 = (uint32)(left >> 32) ^ c3 ^ k1;
        c3 = (uint32)left;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{c0, c1, c2, c3};
}

// A number in (0, 1) of 31 bits of a word, which float does not round to 1
__device__ inline real uniform_of_word(uint32 word) {
    const uint32 odd = word | 1, most = 0xFFFFFF7F;
    return (real)(odd < most ? odd : most) * (real)2.3283064365386963e-10;
}

// Count the numbers of an ascending list that are at most another
__device__ inline int32 count_at_most(const uint32 *list, int32 n, uint32 word) {
    int32 first = 0, end = n;
    while (first < end) {
        const int32 middle = (first + end) / 2;
        if (list[middle] <= word)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

// Tell whether a neuron within a group has its input
__device__ inline bool is_member(const uint32 *members, const Group &g, int64 lid) {
    if (g.members == ALL_MEMBERS)
        return true;
    const int64 bit = g.members + lid;
    return members[bit / 32] >> bit % 32 & 1;
}

// Number of events of a neuron in a step
__device__ inline int32 count_events(
    const uint32 *thresholds, const Group &g, uint64 seed, int64 gid, int64 step) {
    if (step < g.start || g.stop <= step)
        return 0;
    const Words words = draw_words(seed, (uint32)g.stream, gid, step / 4);
    const int which = (int)(step % 4);
    const uint32 word = which == 0 ? words.w0 : which == 1 ? words.w1 : which == 2 ? words.w2
                                                                              : words.w3;
    const uint32 *own = thresholds + g.first_threshold;
    return (int32)g.smallest + count_at_most(own, (int32)g.n_thresholds, word);
}

"""One step of the neurons of a segment.

The loops hold no branch, so that the compiler vectorises them; spikes leave a flag per neuron
that is collected afterwards. Input that has been used is set back to zero.

Arguments of the kernels:

======== ================= ===================================================================
name     type, shape       meaning
======== ================= ===================================================================
s        record            the segment, see `simcore.kernels.plan.segment_dtype`
V        real, (n,)        membrane potential relative to resting [mV]
current  real, (n,)        synaptic current [pA], one array for each receptor
waiting  int16, (n,)       steps left of the refractory time
arrived  int32, (n,)       input of this step [quanta], one array for each receptor
spiked   uint8, (n,)       receives 1 for neurons that spiked, else 0
======== ================= ===================================================================
"""

from __future__ import annotations

import numpy as np

from simcore.jit import njit

_ZERO, _ONE, _EMPTY = np.int16(0), np.int16(1), np.int32(0)


@njit
def one_current(s, V, current, waiting, arrived, spiked):
    """Advance neurons with one exponential synaptic current."""
    decay_V, to_V, constant = s.decay_V, s.ex_to_V, s.constant
    decay, quantum = s.decay_ex, s.quantum
    threshold, reset, refractory = s.threshold, s.reset, np.int16(s.refractory)
    for i in range(V.size):
        advanced = V[i] * decay_V + current[i] * to_V + constant
        v = advanced if waiting[i] == _ZERO else V[i]
        left = np.int16(waiting[i] - _ONE) if waiting[i] > _ZERO else _ZERO
        spike = v >= threshold
        current[i] = current[i] * decay + V.dtype.type(arrived[i]) * quantum
        arrived[i] = _EMPTY
        V[i] = reset if spike else v
        waiting[i] = refractory if spike else left
        spiked[i] = spike


@njit
def two_currents(s, V, current, second, waiting, arrived, arrived_second, spiked):
    """Advance neurons with an excitatory and an inhibitory exponential current."""
    decay_V, to_V, second_to_V, constant = s.decay_V, s.ex_to_V, s.in_to_V, s.constant
    decay, second_decay, quantum = s.decay_ex, s.decay_in, s.quantum
    threshold, reset, refractory = s.threshold, s.reset, np.int16(s.refractory)
    for i in range(V.size):
        advanced = V[i] * decay_V + current[i] * to_V + second[i] * second_to_V + constant
        v = advanced if waiting[i] == _ZERO else V[i]
        left = np.int16(waiting[i] - _ONE) if waiting[i] > _ZERO else _ZERO
        spike = v >= threshold
        current[i] = current[i] * decay + V.dtype.type(arrived[i]) * quantum
        second[i] = second[i] * second_decay + V.dtype.type(arrived_second[i]) * quantum
        arrived[i] = _EMPTY
        arrived_second[i] = _EMPTY
        V[i] = reset if spike else v
        waiting[i] = refractory if spike else left
        spiked[i] = spike


@njit
def delta(s, V, waiting, arrived, spiked):
    """Advance neurons whose potential jumps; input while refractory is lost."""
    decay_V, constant, quantum = s.decay_V, s.constant, s.quantum
    threshold, reset, refractory = s.threshold, s.reset, np.int16(s.refractory)
    for i in range(V.size):
        advanced = V[i] * decay_V + constant + V.dtype.type(arrived[i]) * quantum
        v = advanced if waiting[i] == _ZERO else V[i]
        left = np.int16(waiting[i] - _ONE) if waiting[i] > _ZERO else _ZERO
        spike = v >= threshold
        arrived[i] = _EMPTY
        V[i] = reset if spike else v
        waiting[i] = refractory if spike else left
        spiked[i] = spike


@njit
def collect(spiked, eights, begin, end, found, count):
    """Append the lids of neurons that spiked to `found`, once per spike; return its new length.

    Parameters
    ----------
    spiked : ndarray of uint8
        Number of spikes of each neuron.
    eights : ndarray of uint64
        The same memory, eight neurons a number.
    begin, end : int
        First lid, and the one after the last.
    found : ndarray of int64
        Receives lids.
    count : int
        Lids that are there already.
    """
    for k in range(begin // 8, (end + 7) // 8):
        if eights[k] != np.uint64(0):
            for lid in range(max(begin, 8 * k), min(end, 8 * k + 8)):
                for _ in range(spiked[lid]):
                    found[count] = lid
                    count += 1
    return count

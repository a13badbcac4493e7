"""The language of neuron models: equations as text, and what a computer makes of them.

======================= ======================================================================
`units`                 dimensions of quantities
`expression`            a formula as a graph of single operations
`parser`                text to expressions, with units checked
`linear`                which part of a model is linear, and its exact propagators
`model`                 a neuron model: declarations, and what follows from them
`step`                  one time step of a model as straight lines of operations
`printer`               these lines as NumPy, Numba or CUDA
======================= ======================================================================
"""

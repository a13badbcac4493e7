"""The language of neuron models: equations as text, and what a computer makes of them.

======================= ======================================================================
`units`                 dimensions of quantities
`expression`            a formula as a graph of single operations
`parser`                text to expressions, with units checked
`linear`                which part of a model is linear, and its exact propagators
`layout`                what is kept for each neuron
`definition`            what the texts of a model say
`model`                 a neuron model: texts, and values of its parameters
`step`                  one time step of a model as straight lines of operations
`program`               these lines in order, and the numbers that the host computes
`interpreter`           a program carried out by NumPy, which all others must equal
`printer`               a program as text for Numba and for CUDA
`stiffness`             whether a time step is long beside what a model does
======================= ======================================================================
"""

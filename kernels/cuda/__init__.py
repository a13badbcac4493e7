"""The CUDA backend: the kernels in .cu files, and what loads and starts them."""

"""The fastest SwinIR on an NVIDIA GPU: kernels in Triton, one or two a Swin block.

    packing.py    weights in the form in which the kernels read them
    plan.py       what is launched for one shape, and where in memory everything lies
    settings.py   tiles, warps and stages of each architecture
    device/       the kernels
    launch.py     runs a plan
    fused.py      all of it as a module of PyTorch

How they work and what they reach is in docs/gpu.md.
"""

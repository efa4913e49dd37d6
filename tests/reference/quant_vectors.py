"""Writes quant_vectors.bin: random blocks of every quantized tensor type and what the gguf package makes of them.

    pip install numpy gguf==0.19.0 && python3 quant_vectors.py quant_vectors.bin

Per type, little endian: u32 type, u32 bytes of blocks, u32 weights, the blocks, the weights as f32. The scales are drawn
so that d is a normal f16, a subnormal one or zero.
"""
import sys
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

N_WEIGHTS = 1024
F16_AT = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
          T.Q2_K: [80, 82], T.Q3_K: [108], T.IQ4_NL: [0], T.IQ4_XS: [0]}

rng = np.random.default_rng(20261124)
with open(sys.argv[1], "wb") as out:
    for qtype, places in F16_AT.items():
        per_block, size = GGML_QUANT_SIZES[qtype]
        blocks = rng.integers(0, 256, (N_WEIGHTS // per_block, size), dtype=np.uint8)
        for i, block in enumerate(blocks):
            for at in places:
                d = np.float16([0.01, 3e-6, 0.0, -1.5][i % 4] * rng.uniform(0.5, 1.0))
                block[at:at + 2] = np.frombuffer(d.tobytes(), np.uint8)
        weights = dequantize(blocks.reshape(-1), qtype).astype(np.float32).reshape(-1)
        out.write(np.array([qtype, blocks.size, weights.size], dtype="<u4").tobytes() + blocks.tobytes() + weights.astype("<f4").tobytes())

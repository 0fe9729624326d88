"""Every bound of the tests, with where it comes from.  Test bodies hold no numbers of their own."""

from __future__ import annotations

# Logits of a pass in a float dtype, against transformers with the very same stored weights widened
# to float32: largest absolute difference over the largest absolute logit.
#
# f32         Two float32 programs that add in different orders differ by about
#             2^-24 * sqrt(K) * sqrt(number of linears), here 1e-6 (measured between transformers
#             and plain NumPy on every tiny shape: at most 8e-7).  1e-4 leaves room for vectorised
#             exp and tanh and for larger models; taking one gelu for the other gives 2e-4.
# f16, bf16   Weights are exact and activations float32; what remains is the float16 KV cache,
#             half a unit in the last place, 2^-11 = 4.9e-4, on every key and value.  Emulated on
#             every tiny shape: at most 8e-4.  Bound: 6 * 2^-11.
FLOAT_LOGITS = {"f32": 1e-4, "f16": 3e-3, "bf16": 3e-3}

# Logits of a quantized pass, against float32: root mean square difference over root mean square
# logit.  Errors of the linears in series add in squares: signal-to-noise of about 46 dB (int8) and
# 22 dB (int4) per matrix gives 0.005 and 0.08; int8 activations with one scale per 32 add
# max / (127 * sqrt(12)) / rms = 0.006.  With n = 5 to 13 linears in a row: sqrt(n) * 0.008 = 0.03
# and sqrt(n) * 0.08 = 0.28 (emulated on every tiny shape: at most 0.03 and 0.25).  Bounds: twice
# that.
QUANTIZED_LOGITS = {"int8": 0.06, "int4": 0.5}

# A greedy divergence counts when the oracle's top-two margin exceeds this many tolerances.
CLEAR_MARGIN = 10

# Mean KL divergence to float32, as a ratio to ggml's format of the same bits.
# Emulated with the planes' encoder on 4096 held-out tokens: 0.65 (0.01) and 0.86 (0.03).
KL_RATIO = {"int4": 0.75, "int8": 1.1}

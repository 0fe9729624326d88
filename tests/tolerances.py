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

# An encoder's hidden states, pooler and logits in a float dtype, against transformers with the very
# same stored weights: largest absolute difference over the largest absolute value.  Weights are
# exact, whatever their dtype, and there is no cache: what remains is the order of float32 sums, as
# in FLOAT_LOGITS["f32"].  Measured on every tiny variant, on 160 random shapes and on MiniLM: at
# most 4e-6.  Taking one gelu for the other gives 1.2e-4, an epsilon of 1e-5 for 1e-12 gives 5e-5.
ENCODER_FLOAT = 2e-5

# Probabilities and label scores, relative to each: d ln p is at most twice the error of a logit,
# which is ENCODER_FLOAT times the largest, here 5.
ENCODER_SCORES = 2e-4

# A quantized classifier gives few numbers, which may all be small by chance: QUANTIZED_LOGITS
# counts in their root mean square, but in no less than this, what tiny random weights give.
LABEL_LOGITS_RMS = 1.0

# Cosine of a float32 embedding and the oracle's: 1 - error^2 / 2 for unit vectors, far below
# float32's own 6e-8; the bound is one that any user could ask for.
COSINE_TO_ORACLE = 1 - 1e-6

# Spearman × 100 of MiniLM on SemEval-2016's pairs: least and most. Floats give the published 78.99
# to its last digit; int8 may move it by 0.15 (ONNX Runtime's dynamic int8 scores 78.57); int4 has
# no upper bound, because noise of its size moves the score either way.
STS_SPEARMAN = {
    "f32": (78.97, 79.01),
    "f16": (78.97, 79.01),
    "int8": (78.84, 79.14),
    "int4": (78.4, 100.0),
}
# Mean cosine of the vectors to those of f32; Q4_0's weights alone give 0.9644.
STS_COSINE = {"f32": 1 - 1e-6, "f16": 0.9999, "int8": 0.9990, "int4": 0.969}

# Draws against a distribution: the probability that a fair draw is this far off or farther (the
# tail of Pearson's chi-square).  Seeds are fixed, so that a test passes or fails for ever; one
# first run in a million fails without a reason.
CHANCE = 1e-6

# Logarithms of probabilities in float64 against another float64 program: the order of a sum of
# V = 2048 exponentials, sqrt(V) * 2^-53, and a few roundings of numbers of at most 64.
LOGPROB = 1e-12

# Perplexity as a ratio to that of float32; measured 1.0014 (int8), 1.0023 (Q8_0).
PERPLEXITY_RATIO = {"int8": 1.005}

# A sleep of 10 ms ends late, by the system's timer slack (50 µs) and by what else runs: on a busy
# machine a whole time slice of another process, 4 ms with 250 Hz, and the wake-up after it.
SLEPT_LATE_S = 0.006

# Between two readings of the clock around a call that does nothing, the least of many: 0.2 µs. Ten
# are 1 % of a run of one millisecond.
CLOCK_OVERHEAD_S = 1e-5

# Growth of a process that allocates 60 to 100 MB: what Python and the allocator take beside it.
GROWN_MEMORY = 0.05

# An interval of 4000 resamples beside one of 100 000, in widths of the latter: its ends scatter by
# sqrt(0.025 * 0.975 / 4000) / density = 0.0025 / 0.058 of a standard deviation, about 1 % of the
# width for a normal statistic. A median's distribution is made of steps between samples, a few
# hundredths of the width each (25 samples a side), and an end may fall on the next one.
BOOTSTRAP_INTERVAL = 0.10

# Joules of a counter that a test moves on, over a window: the first run may be counted with the
# reading before or after it, one of about 25 runs.
COUNTED_ENERGY = 0.10

# `bench compare`, simulated. An interval of 95 % leaves 2.5 % on either side; percentile intervals
# of a median of ten cover a little less than they say; that the median has to be 5 % off as well
# makes up for it. What is demanded is one in twenty.
FALSE_ALARMS = 0.05

# 10 % is found where the median's own spread is well below it. The median of n samples of spread s
# scatters by 1.25 s / sqrt(n): of two runs, by 0.6 % (quiet, 10), 1.2 % (usual, 20), 2.0 % (noisy,
# 80). It has to show more than 5 %: 8, 4 and 2.5 of those away, less what late runs add.
FOUND_SLOWDOWNS = {"quiet": 0.99, "usual": 0.95, "noisy": 0.9}

# Perplexity against transformers', relative: what `lapwing eval` promises.  Measured: at most 2e-7.
PERPLEXITY_TO_ORACLE = 1e-3
# Spearman against scipy's: both in float64, sums in another order.
SPEARMAN_TO_SCIPY = 1e-12
# A divergence computed in float64 from at most 2000 terms below 100 nats each.
KL_ARITHMETIC = 1e-9

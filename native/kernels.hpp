// The kernels one instruction set offers to the operations. Each is single-threaded, works on a
// range that the caller chose, and gives every output the same bits whatever that range or the
// number of tokens beside it: one chain of operations per output, k ascending.
//
// T tokens, N outputs (rows of a weight matrix), K inputs. Activations are float32 [T, K], packed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "planes.hpp"

namespace lapwing {

enum class DType { f32, f16, bf16 };
constexpr size_t size_of(DType dtype) { return dtype == DType::f32 ? 4 : 2; }

enum class Activation { none, relu, silu, tanh, gelu, gelu_tanh };

// How the rows of one sequence become one (names of sentence-transformers' pooling modes).
enum class Pooling { cls, max, mean, mean_sqrt_len, lasttoken };

// nk: row-major [N, K], the usual Linear.  kn: row-major [K, N], Conv1D of the GPT-2 checkpoints.
enum class Layout { nk, kn };

struct DenseView {
  DType dtype = DType::f32;
  Layout layout = Layout::nk;
  size_t N = 0, K = 0;
  const void* data = nullptr;
};

// Float activations [T, K]; packed: the same as `pack_tokens` makes it, where packs_tokens(layout,
// T).
struct FloatRows {
  const float* rows;
  const float* packed = nullptr;
};
// From so many tokens on a product computes rather than waits for memory, and a panel of float rows
// pays for its making.
inline constexpr size_t kManyTokens = 48;
// Whether products with weights of this layout take so many tokens packed.
constexpr bool packs_tokens(Layout layout, size_t T) {
  return T >= (layout == Layout::nk ? kManyTokens : 3);
}
// Floats of a packed token.
constexpr size_t packed_row(Layout layout, size_t K) {
  return layout == Layout::nk ? ceil_div(K, 8) * 8 : K;
}
// Tokens may be packed so many at a time, from the first on.
inline constexpr size_t kPackedTogether = 12;

// out[t, n] = activation(Σ + bias[n]) + residual[t, n]
struct Epilogue {
  const float* bias = nullptr;      // [N]
  const float* residual = nullptr;  // [T, stride]
  Activation activation = Activation::none;
  size_t stride = 0;  // floats from one token's outputs to the next's: N where out is [T, N]
};

// How large codes of activations may be: each up to 127, or so that of every four whose products
// with bytes one 16-bit sum takes (k, k + 1, k + 4, k + 5, and the same two further on, k from a
// multiple of 8) the magnitudes add up to 128 at most: 128 · 255 < 2^15.
enum class CodeRange { full, narrow };

// Activations as int8 with one scale per token and group of 32.
struct QuantizedRows {
  const int8_t* codes;   // [T, groups * 32], zero beyond K
  const int16_t* words;  // the same as 16 bits, where an instruction set wants them (words_from)
  const float* scale;    // [T, groups]: d
  const float* sum;      // [T, groups]: d · Σ codes
  CodeRange range = CodeRange::full;
};

// One cached sequence, one layer, one key/value head.
struct KeyValueView {
  const void* keys;    // [S, head_stride]
  const void* values;  // [S, head_stride]
  DType dtype;         // f32 or f16
  size_t head_stride;  // head_dim rounded up to 8, zero padded
};

// Positions that a query sees: [first, last).
struct Seen {
  size_t first, last;
};

// Queries of a few tokens of one sequence, [heads, head_dim] each, and where their results go.
struct QueryBlock {
  const float* q;
  size_t stride;  // floats from one token's queries to the next's
  float* out;
  size_t out_stride;
  size_t tokens, heads, head_dim;
};

// What one group of a row group is stored as, before its nibbles are split into planes.
struct GroupCodes {
  uint8_t scale[kRows];
  int8_t centre[kRows];
  uint8_t u[kGroup][kRows];
};

// What products are made with: bytes into 16 bits, or floats.
enum class Instruction { maddubs, fma };

struct Kernels {
  const char* name;

  // Planes: rows of row groups [first, last). `scratch` has plane_scratch_bytes(K), 64-byte
  // aligned.
  void (*plane_linear)(const PlaneView& w, Precision precision, const QuantizedRows& x, size_t T,
                       size_t first, size_t last, const Epilogue& epilogue, float* out,
                       uint8_t* scratch);
  // From so many tokens on, int8 products read the activations' words.
  size_t words_from;
  // One activation row x [K] → codes [groups*32], scale and sum [groups].
  void (*quantize_row)(const float* x, size_t K, CodeRange range, int8_t* codes, float* scale,
                       float* sum);
  // Searches codes for w [32][8], rows in lanes: minimises e4 + 60·e8, squared errors of both
  // reads.
  void (*encode_group)(const float* w, float scale_factor, float centre_factor, GroupCodes& codes);

  // Tokens as many of them meet weights, in an order of the instruction set's own: [T, packed_row].
  void (*pack_tokens)(Layout layout, const float* x, size_t T, size_t K, float* out);
  // Dense: outputs [first, last). `scratch` has dense_scratch_bytes(), 64-byte aligned.
  void (*dense_linear)(const DenseView& w, const FloatRows& x, size_t T, size_t first, size_t last,
                       const Epilogue& epilogue, float* out, uint8_t* scratch);
  void (*to_float)(DType dtype, const void* in, size_t count, float* out);

  // One row: (x − mean)/√(var + eps)·weight + bias
  void (*layer_norm)(const float* x, size_t D, const float* weight, const float* bias, float eps,
                     float* out);
  // One row: x/√(mean(x²) + eps)·weight
  void (*rms_norm)(const float* x, size_t D, const float* weight, float eps, float* out);
  void (*add_to)(float* x, const float* y, size_t count);  // x += y
  // Pairs (x[i], x[i + half]) turned by the angles whose cosines and sines are given.
  void (*rotate)(float* x, size_t half, const float* cosines, const float* sines);
  // out = activation(gate)·up
  void (*gate)(const float* gate, const float* up, size_t count, Activation activation, float* out);
  // x = cap·tanh(x/cap)
  void (*soft_cap)(float* x, size_t count, float cap);
  void (*scale)(float* x, size_t count, float factor);  // x *= factor

  // Writes `count` floats as a cache row, zero padded to head_stride.
  void (*store_head)(const float* x, size_t head_dim, size_t head_stride, DType dtype, void* row);
  // Sum of 64-bit words: reads memory as fast as it comes, for measuring that.
  uint64_t (*sum_words)(const uint64_t* words, size_t count);
  // `rounds` multiply-adds in each of several registers → how many there were in all; 0 where there
  // is no such instruction.
  uint64_t (*multiply)(Instruction instruction, size_t rounds);
  // Queries over the cached positions that their tokens see (`seen`: of each token), each
  // softmax(cap(scale · q·K)) · V. `scratch` has attend_scratch_bytes(tokens · heads, head_dim),
  // 64-byte aligned.
  void (*attend)(const QueryBlock& block, float scale, const KeyValueView& kv, const Seen* seen,
                 float softcap, float* scratch);
  // One head of one sequence of L tokens, all of which see each other. q, k, v and out are rows of
  // head_dim floats, `stride` and `out_stride` apart. `scratch` has
  // attend_all_scratch_bytes(L, head_dim), 64-byte aligned.
  void (*attend_all)(const float* q, const float* k, const float* v, size_t stride, size_t L,
                     size_t head_dim, float scale, float* out, size_t out_stride, float* scratch);

  // L rows → one.
  void (*pool)(const float* x, size_t L, size_t D, Pooling pooling, float* out);
  // x/max(‖x‖₂, 1e-12)
  void (*unit_length)(const float* x, size_t D, float* out);
};

// Defined where the compiler can make them; cpu_isa.hpp has those that this processor can run.
const Kernels& generic_kernels();
const Kernels& avx2_kernels();
const Kernels& avx_vnni_kernels();
const Kernels& avx512_vnni_kernels();
const Kernels& neon_kernels();
const Kernels& neon_dotprod_kernels();
const Kernels& neon_i8mm_kernels();

// Half a step of the refine plane, in units of s/16: where the cells of the format have their
// middle.
inline constexpr float kHalfCell = -7.5f / 16;

inline constexpr size_t kPanelRows = 16;  // rows that a prefill panel unpacks together

// Codes as words and the float s, m of kPanelRows rows.
constexpr size_t plane_scratch_bytes(size_t K) {
  return group_count(K) * (2 * kPanelRows * kGroup + 2 * kPanelRows * sizeof(float)) + 64;
}
// Positions whose scores are made at once: their borders are multiples of it.
inline constexpr size_t kKeyBlock = 64;
// Tokens of a prompt whose queries read keys and values together.
inline constexpr size_t kQueryTokens = 4;
// Per query: itself, a sum of values, scores and what they have come to; one block widened.
constexpr size_t attend_scratch_bytes(size_t queries, size_t head_dim) {
  const size_t stride = ceil_div(head_dim, 8) * 8;
  return (queries * (2 * stride + kKeyBlock + 16) + kKeyBlock * stride) * sizeof(float) + 64;
}
// Keys with positions in lanes, values as rows, and the scores of kQueries queries.
inline constexpr size_t kQueries = 6;
constexpr size_t attend_all_scratch_bytes(size_t L, size_t head_dim) {
  const size_t lanes = ceil_div(L, 8) * 8, width = ceil_div(head_dim, 8) * 8;
  return (head_dim * lanes + L * width + kQueries * (lanes + head_dim)) * sizeof(float) + 64;
}
// A float32 panel of kPanelRows outputs: so many inputs a chain, which L1 holds beside as many of a
// tile of tokens; room between its eight chains, and their sums for so many tokens.
inline constexpr size_t kChainInputs = 256, kPanelInputs = 8 * kChainInputs, kPanelTokens = 264;
constexpr size_t dense_scratch_bytes() {
  return (kPanelInputs + 8 + 8 * kPanelTokens) * kPanelRows * sizeof(float) + 64;
}

}  // namespace lapwing

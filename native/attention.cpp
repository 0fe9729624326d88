// Attention over cached sequences, and of whole sequences to themselves.
#include <algorithm>
#include <vector>

#include "ops.hpp"
#include "pieces.hpp"

namespace lapwing {

namespace {

// How many parts make each of `units` groups into work for every thread.
size_t parts_of(size_t group, size_t units, size_t threads) {
  size_t parts = 1;
  while (parts < group && units * parts % threads != 0 && units * parts < 4 * threads) ++parts;
  return parts;
}

}  // namespace

void attend(Context& context, const AttentionShape& shape, const float* qkv,
            std::span<KVCache* const> caches, std::span<const size_t> lengths, float* out) {
  const size_t Dh = shape.head_dim, H = shape.n_heads, Hkv = shape.n_kv_heads;
  const size_t stride = (H + 2 * Hkv) * Dh, width = H * Dh;
  const Kernels& kernels = context.kernels;
  struct Token {
    size_t sequence, position;
  };
  std::vector<Token> tokens;
  const auto seen_by = [&](const Token& token) -> Seen {
    const size_t window = caches[token.sequence]->window(shape.layer), last = token.position + 1;
    return {window != 0 && last > window ? last - window : 0, last};
  };
  size_t reads = 0;
  for (size_t s = 0; s < lengths.size(); ++s)
    for (size_t i = 0; i < lengths[s]; ++i) {
      tokens.push_back({s, caches[s]->length() + i});
      const Seen seen = seen_by(tokens.back());
      reads += seen.last - seen.first;
    }
  const size_t T = tokens.size();
  if (T == 0) return;

  // A head of queries or keys as attention takes it: normed, then turned.
  const bool changes = shape.rotations != nullptr || shape.query_norm != nullptr;
  const auto prepare = [&](const float* head, const float* norm, size_t t, float* to) {
    if (norm != nullptr)
      kernels.rms_norm(head, Dh, norm, shape.norm_eps, to);
    else
      std::copy_n(head, Dh, to);
    if (shape.rotations == nullptr) return;
    const float* rotation = shape.rotations + 2 * t * shape.half;
    kernels.rotate(to, shape.half, rotation, rotation + shape.half);
  };
  float* prepared = changes ? context.between(T * width) : nullptr;  // queries
  const size_t group = H / Hkv;  // queries that share keys and values
  const size_t each = round64(attend_scratch_bytes(kQueryTokens * group, Dh));
  uint8_t* scratch = context.worker_scratch(each);
  const auto append = [&](size_t t, float* key) {
    const float* row = qkv + t * stride;
    if (changes)
      for (size_t head = 0; head < H; ++head)
        prepare(row + head * Dh, shape.query_norm, t, prepared + t * width + head * Dh);
    const KVCache& cache = *caches[tokens[t].sequence];
    const auto store = [&](const float* x, bool value, size_t head) {
      kernels.store_head(x, Dh, cache.head_stride(), cache.dtype(),
                         cache.row(shape.layer, value, head, tokens[t].position));
    };
    for (size_t head = 0; head < Hkv; ++head) {
      const float* from = row + width + head * Dh;
      if (changes) prepare(from, shape.key_norm, t, key);
      store(changes ? key : from, false, head);
      store(row + width + (Hkv + head) * Dh, true, head);
    }
  };
  const Pieces rows = divide(T, 4 * (changes ? 2 * H + Hkv : Hkv) * Dh, context.pool.threads());
  context.pool.run(rows.count, [&](size_t piece, size_t worker) {
    const size_t last = std::min(T, (piece + 1) * rows.size);
    for (size_t t = piece * rows.size; t < last; ++t)
      append(t, reinterpret_cast<float*>(scratch + worker * each));
  });

  // Heads outermost: the keys and values of one head stay in cache while its queries pass, those of
  // a few tokens of a sequence at a time. A group is parted where there would not be work for every
  // thread.
  const float* queries = changes ? prepared : qkv;
  const size_t query_stride = changes ? width : stride;
  std::vector<size_t> begins;  // of blocks of tokens
  for (size_t s = 0, t = 0; s < lengths.size(); t += lengths[s++])
    for (size_t i = 0; i < lengths[s]; i += kQueryTokens) begins.push_back(t + i);
  const size_t blocks = begins.size();
  const size_t parts = parts_of(group, Hkv * blocks, context.pool.threads());
  const size_t units = Hkv * parts * blocks;
  const size_t work = 2 * Dh * std::max<size_t>(1, reads / blocks) * group / parts;
  const Pieces pieces = divide(units, work, context.pool.threads());
  context.pool.run(pieces.count, [&](size_t piece, size_t worker) {
    const size_t last = std::min(units, (piece + 1) * pieces.size);
    for (size_t unit = piece * pieces.size; unit < last; ++unit) {
      const size_t kv_head = unit / blocks / parts, part = unit / blocks % parts;
      const size_t first_head = kv_head * group + part * group / parts;
      const size_t heads = kv_head * group + (part + 1) * group / parts - first_head;
      const size_t t = begins[unit % blocks], sequence = tokens[t].sequence;
      size_t count = 0;
      Seen seen[kQueryTokens];
      while (count < kQueryTokens && t + count < T && tokens[t + count].sequence == sequence)
        seen[count] = seen_by(tokens[t + count]), ++count;
      const QueryBlock block{.q = queries + t * query_stride + first_head * Dh,
                             .stride = query_stride,
                             .out = out + t * width + first_head * Dh,
                             .out_stride = width,
                             .tokens = count,
                             .heads = heads,
                             .head_dim = Dh};
      kernels.attend(block, shape.scale, caches[sequence]->view(shape.layer, kv_head), seen,
                     shape.softcap, reinterpret_cast<float*>(scratch + worker * each));
    }
  });
}

void attend_all(Context& context, const float* qkv, size_t n_heads, size_t head_dim, float scale,
                std::span<const size_t> lengths, float* out) {
  const size_t width = n_heads * head_dim, stride = 3 * width;
  std::vector<size_t> begins(lengths.size());
  size_t T = 0, longest = 0, squares = 0;
  for (size_t s = 0; s < lengths.size(); ++s) {
    begins[s] = T;
    T += lengths[s];
    longest = std::max(longest, lengths[s]);
    squares += lengths[s] * lengths[s];
  }
  if (T == 0) return;
  const size_t each = round64(attend_all_scratch_bytes(longest, head_dim));
  uint8_t* scratch = context.worker_scratch(each);
  const size_t units = lengths.size() * n_heads;
  const Pieces pieces =
      divide(units, 2 * head_dim * (squares / lengths.size()), context.pool.threads());
  context.pool.run(pieces.count, [&](size_t piece, size_t worker) {
    const size_t last = std::min(units, (piece + 1) * pieces.size);
    for (size_t unit = piece * pieces.size; unit < last; ++unit) {
      const size_t s = unit / n_heads, head = unit % n_heads;
      if (lengths[s] == 0) continue;
      const float* q = qkv + begins[s] * stride + head * head_dim;
      context.kernels.attend_all(q, q + width, q + 2 * width, stride, lengths[s], head_dim, scale,
                                 out + begins[s] * width + head * head_dim, width,
                                 reinterpret_cast<float*>(scratch + worker * each));
    }
  });
}

}  // namespace lapwing

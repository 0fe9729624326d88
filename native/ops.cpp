#include "ops.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

#include "cpu_isa.hpp"

namespace lapwing {

namespace {

// Below this many multiply-adds an operation is done before another thread would have woken.
constexpr size_t kSmallWork = 1 << 15;

// Pieces of `units` so that each thread gets several, none smaller than kSmallWork multiply-adds.
struct Pieces {
  size_t count, size;
};
Pieces divide(size_t units, size_t work_per_unit, size_t threads, size_t multiple = 1) {
  if (units == 0) return {0, 1};
  if (threads == 1) return {1, units};
  const size_t floor = std::max<size_t>(1, kSmallWork / std::max<size_t>(1, work_per_unit));
  size_t size = std::max(floor, ceil_div(units, threads * 8));
  size = ceil_div(size, multiple) * multiple;
  return {ceil_div(units, size), size};
}

Region grown(Region& region, size_t nbytes) {
  return region.nbytes() >= nbytes ? std::move(region) : Region(nbytes + nbytes / 4);
}

constexpr size_t round64(size_t n) { return ceil_div(n, 64) * 64; }

}  // namespace

Context::Context(size_t threads, const std::string& isa)
    : kernels(kernels_for(isa)), pool(threads) {}

uint8_t* Context::scratch(size_t nbytes) {
  scratch_ = grown(scratch_, nbytes);
  return scratch_.data();
}

uint8_t* Context::worker_scratch(size_t nbytes_each) {
  worker_scratch_ = grown(worker_scratch_, nbytes_each * pool.threads());
  return worker_scratch_.data();
}

void linear(Context& context, const DenseView& w, const float* x, size_t T, const Epilogue& e,
            float* out) {
  const size_t each = round64(dense_scratch_bytes(w.K));
  uint8_t* scratch = context.worker_scratch(each);
  Pieces pieces = divide(w.N, w.K * T, context.pool.threads(), 64);
  if (w.layout == Layout::kn && T <= 2) {
    // Rows are read a stretch at a time, and each stretch is a page or two: one piece a thread.
    const size_t share = ceil_div(w.N, context.pool.threads());
    pieces.size = std::max(pieces.size, ceil_div(share, 64) * 64);
    pieces.count = ceil_div(w.N, pieces.size);
  }
  context.pool.run(pieces.count, [&](size_t piece, size_t worker) {
    const size_t first = piece * pieces.size, last = std::min(w.N, first + pieces.size);
    context.kernels.dense_linear(w, x, T, first, last, e, out, scratch + worker * each);
  });
}

void linear(Context& context, const PlaneView& w, Precision precision, const float* x, size_t T,
            const Epilogue& e, float* out) {
  const size_t groups = group_count(w.K), row = groups * kGroup;
  const size_t code_bytes = round64(T * row), scale_bytes = round64(T * groups * sizeof(float));
  uint8_t* memory = context.scratch(code_bytes + 2 * scale_bytes);
  auto* codes = reinterpret_cast<int8_t*>(memory);
  auto* scale = reinterpret_cast<float*>(memory + code_bytes);
  auto* sum = reinterpret_cast<float*>(memory + code_bytes + scale_bytes);

  const Pieces tokens = divide(T, 4 * w.K, context.pool.threads());
  context.pool.run(tokens.count, [&](size_t piece, size_t) {
    const size_t last = std::min(T, (piece + 1) * tokens.size);
    for (size_t t = piece * tokens.size; t < last; ++t)
      context.kernels.quantize_row(x + t * w.K, w.K, codes + t * row, scale + t * groups,
                                   sum + t * groups);
  });

  const size_t each = round64(plane_scratch_bytes(w.K));
  uint8_t* scratch = context.worker_scratch(each);
  const size_t row_groups = row_group_count(w.N);
  const Pieces pieces = divide(row_groups, kRows * w.K * T, context.pool.threads(), 2);
  context.pool.run(pieces.count, [&](size_t piece, size_t worker) {
    const size_t first = piece * pieces.size, last = std::min(row_groups, first + pieces.size);
    context.kernels.plane_linear(w, precision, {codes, scale, sum}, T, first, last, e, out,
                                 scratch + worker * each);
  });
}

void embed(Context& context, const EmbedSource& table, std::span<const int64_t> ids,
           const DenseView* position_table, std::span<const int64_t> positions, size_t D,
           float* out) {
  const size_t T = ids.size();
  std::vector<float> position(position_table != nullptr ? D : 0);
  const auto dense_row = [&](const DenseView& w, size_t row, float* to) {
    const auto* data = static_cast<const uint8_t*>(w.data);
    context.kernels.to_float(w.dtype, data + row * D * size_of(w.dtype), D, to);
  };
  for (size_t t = 0; t < T; ++t) {
    float* row = out + t * D;
    const auto id = static_cast<size_t>(ids[t]);
    if (table.planes != nullptr)
      decode_row(*table.planes, table.planes->refine != nullptr ? Precision::int8 : Precision::int4,
                 id, row);
    else
      dense_row(*table.dense, id, row);
    if (position_table != nullptr) {
      dense_row(*position_table, static_cast<size_t>(positions[t]), position.data());
      context.kernels.add_to(row, position.data(), D);
    }
  }
}

void layer_norm(Context& context, const float* x, size_t T, size_t D, const float* weight,
                const float* bias, float eps, float* out) {
  const Pieces pieces = divide(T, 8 * D, context.pool.threads());
  context.pool.run(pieces.count, [&](size_t piece, size_t) {
    const size_t last = std::min(T, (piece + 1) * pieces.size);
    for (size_t t = piece * pieces.size; t < last; ++t)
      context.kernels.layer_norm(x + t * D, D, weight, bias, eps, out + t * D);
  });
}

void attend(Context& context, const AttentionShape& shape, const float* x, size_t stride,
            size_t query_offset, size_t key_offset, size_t value_offset,
            std::span<KVCache* const> caches, std::span<const size_t> lengths, float* out) {
  const size_t Dh = shape.head_dim, H = shape.n_heads, Hkv = shape.n_kv_heads;
  struct Token {
    size_t sequence, position;
  };
  std::vector<Token> tokens;
  size_t reads = 0;
  for (size_t s = 0; s < lengths.size(); ++s)
    for (size_t i = 0; i < lengths[s]; ++i) {
      tokens.push_back({s, caches[s]->length() + i});
      reads += tokens.back().position + 1;
    }
  const size_t T = tokens.size();
  if (T == 0) return;

  const auto append = [&](size_t t) {
    const KVCache& cache = *caches[tokens[t].sequence];
    for (size_t head = 0; head < Hkv; ++head)
      for (const bool value : {false, true})
        context.kernels.store_head(x + t * stride + (value ? value_offset : key_offset) + head * Dh,
                                   Dh, cache.head_stride(), cache.dtype(),
                                   cache.row(shape.layer, value, head, tokens[t].position));
  };
  const Pieces rows = divide(T, 4 * Hkv * Dh, context.pool.threads());
  context.pool.run(rows.count, [&](size_t piece, size_t) {
    const size_t last = std::min(T, (piece + 1) * rows.size);
    for (size_t t = piece * rows.size; t < last; ++t) append(t);
  });

  // Heads outermost: the keys and values of one head stay in cache while its queries pass.
  const size_t work = 2 * Dh * std::max<size_t>(1, reads / T);
  const Pieces queries = divide(H * T, work, context.pool.threads());
  context.pool.run(queries.count, [&](size_t piece, size_t) {
    const size_t last = std::min(H * T, (piece + 1) * queries.size);
    for (size_t i = piece * queries.size; i < last; ++i) {
      const size_t head = i / T, t = i % T;
      const KVCache& cache = *caches[tokens[t].sequence];
      context.kernels.attend(x + t * stride + query_offset + head * Dh, Dh, shape.scale,
                             cache.view(shape.layer, head / (H / Hkv)), tokens[t].position + 1,
                             out + t * H * Dh + head * Dh);
    }
  });
}

uint64_t sum_words(Context& context, const uint64_t* words, size_t count) {
  constexpr size_t kRun = 1 << 18;
  std::atomic<uint64_t> total{0};
  context.pool.run(ceil_div(count, kRun), [&](size_t piece, size_t) {
    const size_t begin = piece * kRun;
    total += context.kernels.sum_words(words + begin, std::min(kRun, count - begin));
  });
  return total.load();
}

}  // namespace lapwing

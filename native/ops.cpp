#include "ops.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

#include "cpu_isa.hpp"
#include "pieces.hpp"

namespace lapwing {

namespace {

// Most tokens of a pass that is decode rather than prefill.
constexpr size_t kFewTokens = 8;

// From so many tokens a thread on, float products are split by tokens. What a thread reads it has
// written itself then, as a rule; lines that change cores cost more than panels made once for each.
constexpr size_t kOwnTokens = 96;

}  // namespace

Context::Context(size_t threads, const std::string& isa)
    : kernels(kernels_for(isa)),
      pool(threads),
      threads_(pool.threads()),
      prefill_threads_(pool.threads()) {}

std::unique_lock<std::mutex> Context::begin(size_t tokens) {
  std::unique_lock lock(mutex_);
  pool.use(tokens <= kFewTokens ? threads() : prefill_threads());
  return lock;
}

// Threads are not ended where fewer will do: asleep they cost nothing, and a change back is free.
void Context::set_threads(size_t few, size_t many) {
  const std::lock_guard lock(mutex_);
  threads_ = std::max<size_t>(1, few);
  prefill_threads_ = std::max<size_t>(1, many);
  pool.set_threads(std::max({pool.size(), threads(), prefill_threads()}));
}

void Context::prepare_lanes() {
  while (lanes_.size() < pool.threads())
    lanes_.push_back(std::make_unique<Context>(1, kernels.name));
  for (const auto& lane : lanes_) lane->code_range = code_range;
}

uint8_t* Context::scratch(size_t nbytes) {
  grow(scratch_, nbytes);
  return scratch_.data();
}

uint8_t* Context::worker_scratch(size_t nbytes_each) {
  grow(worker_scratch_, nbytes_each * pool.threads());
  return worker_scratch_.data();
}

namespace {

// Work on parts that lie side by side, cut for the threads: units [first, last) of one part, whose
// outputs begin at `column`.
struct Share {
  size_t part, first, last, column;
};
template <class View, class Units>
std::vector<Share> shares_of(std::span<const Part<View>> parts, const Units& units, size_t size) {
  std::vector<Share> shares;
  size_t column = 0;
  for (size_t i = 0; i < parts.size(); column += parts[i++].w.N)
    for (size_t first = 0, count = units(parts[i].w); first < count; first += size)
      shares.push_back({i, first, std::min(count, first + size), column});
  return shares;
}

// `small`: less work than two threads are worth, of however many parts it is.
template <class Task>
void run_shares(ThreadPool& pool, const std::vector<Share>& shares, bool small, const Task& task) {
  const size_t each = small ? shares.size() : 1;
  pool.run(ceil_div(shares.size(), each), [&](size_t piece, size_t worker) {
    for (size_t i = piece * each; i < (piece + 1) * each; ++i) task(shares[i], worker);
  });
}

// x [T, K] packed for each layout that the parts have: one, as a rule.
class PackedTokens {
 public:
  PackedTokens(Context& context, std::span<const Part<DenseView>> parts, const float* x, size_t T) {
    bool wanted[2] = {};
    for (const auto& part : parts) wanted[index(part.w.layout)] |= packs_tokens(part.w.layout, T);
    const size_t K = parts[0].w.K, area = round64(T * packed_row(Layout::nk, K) * sizeof(float));
    uint8_t* memory = context.scratch((wanted[0] + wanted[1]) * area);
    for (const Layout layout : {Layout::nk, Layout::kn})
      if (wanted[index(layout)]) {
        auto* out = reinterpret_cast<float*>(memory);
        pack(context, layout, x, T, K, out);
        packed_[index(layout)] = out;
        memory += area;
      }
  }
  const float* of(const DenseView& w) const { return packed_[index(w.layout)]; }

 private:
  static size_t index(Layout layout) { return layout == Layout::nk ? 0 : 1; }
  static void pack(Context& context, Layout layout, const float* x, size_t T, size_t K,
                   float* out) {
    constexpr size_t kEach = kPackedTogether;
    const Pieces tokens = divide(ceil_div(T, kEach), 2 * kEach * K, context.pool.threads());
    context.pool.run(tokens.count, [&](size_t piece, size_t) {
      const size_t first = piece * tokens.size * kEach;
      context.kernels.pack_tokens(layout, x + first * K, std::min(T - first, tokens.size * kEach),
                                  K, out + first * packed_row(layout, K));
    });
  }
  const float* packed_[2] = {};
};

Epilogue epilogue_of(const Epilogue& e, const float* bias, size_t column) {
  return {bias, e.residual == nullptr ? nullptr : e.residual + column, e.activation, e.stride};
}

}  // namespace

float* Context::arena(size_t count) {
  grow(arena_, count * sizeof(float));
  return reinterpret_cast<float*>(arena_.data());
}

float* Context::between(size_t count) {
  grow(between_, count * sizeof(float));
  return reinterpret_cast<float*>(between_.data());
}

void linear(Context& context, std::span<const Part<DenseView>> parts, const float* x, size_t T,
            const Epilogue& e, float* out) {
  const size_t K = parts[0].w.K, threads = context.pool.threads();
  size_t N = 0, widest = 0;
  bool streamed = T <= 2;
  for (const auto& part : parts) {
    N += part.w.N;
    widest = std::max(widest, part.w.N);
    streamed &= part.w.layout == Layout::kn;
  }
  const PackedTokens packed(context, parts, x, T);
  const size_t each = round64(dense_scratch_bytes());
  uint8_t* scratch = context.worker_scratch(each);
  const bool many = T >= kManyTokens;
  Pieces pieces = divide(N, K * T, threads, many ? kPanelRows : 64, many ? kManyPieces : kPieces);
  // Rows are read a stretch at a time, and each stretch is a page or two: one piece a thread.
  if (streamed) pieces.size = std::max(pieces.size, ceil_div(ceil_div(widest, threads), 64) * 64);
  const auto shares = shares_of(parts, [](const DenseView& w) { return w.N; }, pieces.size);
  const auto multiply = [&](const Share& share, size_t t, size_t count, size_t worker) {
    const auto& part = parts[share.part];
    const float* tokens = packed.of(part.w);
    if (tokens != nullptr) tokens += t * packed_row(part.w.layout, K);
    const size_t at = t * e.stride + share.column;
    context.kernels.dense_linear(part.w, {x + t * K, tokens}, count, share.first, share.last,
                                 epilogue_of(e, part.bias, at), out + at, scratch + worker * each);
  };
  if (threads == 1 || T < threads * kOwnTokens) {
    run_shares(context.pool, shares, pieces.count == 1,
               [&](const Share& share, size_t worker) { multiply(share, 0, T, worker); });
    return;
  }
  const size_t block = ceil_div(ceil_div(T, threads), kPackedTogether) * kPackedTogether;
  context.pool.run(ceil_div(T, block) * shares.size(), [&](size_t piece, size_t worker) {
    const size_t t = piece / shares.size() * block;
    multiply(shares[piece % shares.size()], t, std::min(block, T - t), worker);
  });
}

void linear(Context& context, std::span<const Part<PlaneView>> parts, Precision precision,
            const float* x, size_t T, const Epilogue& e, float* out) {
  const size_t K = parts[0].w.K, groups = group_count(K), row = groups * kGroup;
  const size_t code_bytes = round64(T * row), scale_bytes = round64(T * groups * sizeof(float));
  const CodeRange range = precision == Precision::int8 ? context.code_range : CodeRange::full;
  const bool widened =
      precision == Precision::int8 && range == CodeRange::full && T >= context.kernels.words_from;
  uint8_t* memory = context.scratch((widened ? 3 : 1) * code_bytes + 2 * scale_bytes);
  auto* codes = reinterpret_cast<int8_t*>(memory);
  auto* scale = reinterpret_cast<float*>(memory + code_bytes);
  auto* sum = reinterpret_cast<float*>(memory + code_bytes + scale_bytes);
  auto* words =
      widened ? reinterpret_cast<int16_t*>(memory + code_bytes + 2 * scale_bytes) : nullptr;

  const Pieces tokens = divide(T, 4 * K, context.pool.threads());
  context.pool.run(tokens.count, [&](size_t piece, size_t) {
    const size_t last = std::min(T, (piece + 1) * tokens.size);
    for (size_t t = piece * tokens.size; t < last; ++t) {
      context.kernels.quantize_row(x + t * K, K, range, codes + t * row, scale + t * groups,
                                   sum + t * groups);
      if (widened) std::copy_n(codes + t * row, row, words + t * row);
    }
  });

  const size_t each = round64(plane_scratch_bytes(K));
  uint8_t* scratch = context.worker_scratch(each);
  const auto units = [](const PlaneView& w) { return row_group_count(w.N); };
  size_t row_groups = 0;
  for (const auto& part : parts) row_groups += units(part.w);
  const Pieces pieces = divide(row_groups, kRows * K * T, context.pool.threads(), 2,
                               T >= kManyTokens ? kManyPieces : kPieces);
  const auto shares = shares_of(parts, units, pieces.size);
  run_shares(context.pool, shares, pieces.count == 1, [&](const Share& share, size_t worker) {
    const auto& part = parts[share.part];
    context.kernels.plane_linear(part.w, precision, {codes, words, scale, sum, range}, T,
                                 share.first, share.last, epilogue_of(e, part.bias, share.column),
                                 out + share.column, scratch + worker * each);
  });
}

namespace {

// both [T, 2F] → out [T, F]
void gate_rows(Context& context, const float* both, size_t T, size_t F, Activation activation,
               float* out) {
  const Pieces pieces = divide(T, 16 * F, context.pool.threads());
  context.pool.run(pieces.count, [&](size_t piece, size_t) {
    const size_t last = std::min(T, (piece + 1) * pieces.size);
    for (size_t t = piece * pieces.size; t < last; ++t)
      context.kernels.gate(both + 2 * t * F, both + (2 * t + 1) * F, F, activation, out + t * F);
  });
}

template <class View>
size_t outputs_of(std::span<const Part<View>> parts) {
  size_t N = 0;
  for (const auto& part : parts) N += part.w.N;
  return N;
}

}  // namespace

void gated_linear(Context& context, std::span<const Part<DenseView>> parts, const float* x,
                  size_t T, Activation activation, float* out) {
  const size_t N = outputs_of(parts);
  float* both = context.between(T * N);
  linear(context, parts, x, T, {.stride = N}, both);
  gate_rows(context, both, T, N / 2, activation, out);
}

void gated_linear(Context& context, std::span<const Part<PlaneView>> parts, Precision precision,
                  const float* x, size_t T, Activation activation, float* out) {
  const size_t N = outputs_of(parts);
  float* both = context.between(T * N);
  linear(context, parts, precision, x, T, {.stride = N}, both);
  gate_rows(context, both, T, N / 2, activation, out);
}

void embed(Context& context, std::span<const Lookup> lookups, size_t T, size_t D, float scale,
           float* out) {
  const auto read_row = [&](const Lookup& lookup, size_t t, float* to) {
    const auto id = static_cast<size_t>(lookup.ids[t]);
    if (const auto* planes = std::get_if<PlaneView>(&lookup.table)) {
      decode_row(*planes, planes->refine != nullptr ? Precision::int8 : Precision::int4, id, to);
    } else {
      const auto& dense = std::get<DenseView>(lookup.table);
      const auto* data = static_cast<const uint8_t*>(dense.data);
      context.kernels.to_float(dense.dtype, data + id * D * size_of(dense.dtype), D, to);
    }
  };
  const size_t each = round64(D * sizeof(float));
  uint8_t* scratch = context.worker_scratch(each);
  const Pieces pieces = divide(T, 8 * D * lookups.size(), context.pool.threads());
  context.pool.run(pieces.count, [&](size_t piece, size_t worker) {
    auto* addend = reinterpret_cast<float*>(scratch + worker * each);
    const size_t last = std::min(T, (piece + 1) * pieces.size);
    for (size_t t = piece * pieces.size; t < last; ++t) {
      read_row(lookups[0], t, out + t * D);
      for (const Lookup& lookup : lookups.subspan(1)) {
        read_row(lookup, t, addend);
        context.kernels.add_to(out + t * D, addend, D);
      }
      if (scale != 1) context.kernels.scale(out + t * D, D, scale);
    }
  });
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

void rms_norm(Context& context, const float* x, size_t T, size_t D, const float* weight, float eps,
              const float* residual, float* out) {
  const Pieces pieces = divide(T, 6 * D, context.pool.threads());
  context.pool.run(pieces.count, [&](size_t piece, size_t) {
    const size_t last = std::min(T, (piece + 1) * pieces.size);
    for (size_t t = piece * pieces.size; t < last; ++t) {
      context.kernels.rms_norm(x + t * D, D, weight, eps, out + t * D);
      if (residual != nullptr) context.kernels.add_to(out + t * D, residual + t * D, D);
    }
  });
}

void soft_cap(Context& context, float* x, size_t count, float cap) {
  const Pieces pieces = divide(count, 32, context.pool.threads(), 64);
  context.pool.run(pieces.count, [&](size_t piece, size_t) {
    const size_t first = piece * pieces.size;
    context.kernels.soft_cap(x + first, std::min(pieces.size, count - first), cap);
  });
}

void pool(Context& context, const float* x, size_t D, std::span<const size_t> lengths,
          Pooling pooling, float* out) {
  std::vector<size_t> begins(lengths.size());
  size_t T = 0;
  for (size_t s = 0; s < lengths.size(); T += lengths[s++]) begins[s] = T;
  const size_t average = T / std::max<size_t>(1, lengths.size());
  const Pieces pieces = divide(lengths.size(), D * average, context.pool.threads());
  context.pool.run(pieces.count, [&](size_t piece, size_t) {
    const size_t last = std::min(lengths.size(), (piece + 1) * pieces.size);
    for (size_t s = piece * pieces.size; s < last; ++s)
      context.kernels.pool(x + begins[s] * D, lengths[s], D, pooling, out + s * D);
  });
}

void unit_length(Context& context, const float* x, size_t T, size_t D, float* out) {
  const Pieces pieces = divide(T, 4 * D, context.pool.threads());
  context.pool.run(pieces.count, [&](size_t piece, size_t) {
    const size_t last = std::min(T, (piece + 1) * pieces.size);
    for (size_t t = piece * pieces.size; t < last; ++t)
      context.kernels.unit_length(x + t * D, D, out + t * D);
  });
}

double peak_macs(Context& context, Instruction instruction) {
  constexpr size_t kRounds = 1 << 20, kPieces = 4;
  std::atomic<uint64_t> total{0};
  const auto began = std::chrono::steady_clock::now();
  context.pool.run(context.pool.threads() * kPieces, [&](size_t, size_t) {
    total += context.kernels.multiply(instruction, kRounds);
  });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return static_cast<double>(total.load()) / took.count();
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

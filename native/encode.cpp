#include "encode.hpp"

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <vector>

namespace lapwing {

Planes::Planes(size_t N, size_t K, bool refine)
    : base_(row_group_count(N) * base_stride(K), true),
      refine_(refine ? row_group_count(N) * refine_stride(K) : 0, true),
      factors_(row_group_count(N) * 2 * sizeof(float)),
      view_{N, K, base(), this->refine(), factors()} {}

namespace {

// Below this, factors leave the normal floats and their inverses leave float32.
constexpr float kSmallestFactor = 1e-30f, kSmallestCentre = 127e-30f;

// The float factor of the centres: large enough for the lowest centre of the row group. Where
// groups of one single value are present, the factor is chosen so that they are hit exactly if one
// factor can do that for them.
float choose_centre_factor(float largest, const std::vector<float>& constants) {
  if (largest < kSmallestCentre) return 0;
  if (constants.empty()) return largest / 127;
  float best = largest / 127;
  size_t best_hits = 0;
  for (int steps = 127; steps >= 64 && best_hits < constants.size(); --steps) {
    const float quotient = largest / static_cast<float>(steps);
    for (const float factor :
         {quotient, std::nextafter(quotient, 0.0f), std::nextafter(quotient, FLT_MAX)}) {
      if (factor * 127 < largest && factor * static_cast<float>(steps) != largest) continue;
      const auto hit = [&](float v) { return std::nearbyint(v / factor) * factor == v; };
      const auto hits = static_cast<size_t>(std::count_if(constants.begin(), constants.end(), hit));
      if (hits > best_hits) best = factor, best_hits = hits;
    }
  }
  return best;
}

// `rows` is [8, groups·32] float32; rows beyond N are zero and get s = m = 0.
void encode_row_group(const Kernels& kernels, const float* rows, size_t live_rows, size_t K,
                      uint8_t* base, uint8_t* refine, float* factors) {
  const size_t groups = group_count(K), stride = groups * kGroup;
  float widest = 0, farthest = 0;
  std::vector<float> constants;
  for (size_t row = 0; row < live_rows; ++row)
    for (size_t g = 0; g < groups; ++g) {
      const float* w = rows + row * stride + g * kGroup;
      const auto [lo, hi] = std::minmax_element(w, w + kGroup);
      widest = std::max(widest, *hi - *lo);
      farthest = std::max(farthest, std::fabs(*lo));
      if (*lo == *hi && *lo != 0) constants.push_back(*lo);
    }
  // 1.08: room for the search to try scales wider than the range.
  factors[0] = std::max(widest / 15 * 1.08f / 255, kSmallestFactor);
  factors[1] = choose_centre_factor(farthest, constants);

  std::memset(base, 0, base_stride(K));
  for (size_t g = 0; g < groups; ++g) {
    float lanes[kGroup * kRows];
    for (size_t row = 0; row < kRows; ++row)
      for (size_t k = 0; k < kGroup; ++k)
        lanes[k * kRows + row] = row < live_rows ? rows[row * stride + g * kGroup + k] : 0.0f;
    GroupCodes codes;
    kernels.encode_group(lanes, factors[0], factors[1], codes);
    std::memcpy(base + scale_offset(g), codes.scale, kRows);
    std::memcpy(base + centre_offset(g), codes.centre, kRows);
    uint8_t* high = base + base_nibble_offset(g);
    uint8_t* low = refine == nullptr ? nullptr : refine + refine_nibble_offset(g);
    for (size_t row = 0; row < kRows; ++row)
      for (size_t byte = 0; byte < kGroup / 2; ++byte) {
        const size_t unit = byte / 4, j = byte % 4, at = unit * kUnitBytes + row * 4 + j;
        const unsigned u = codes.u[8 * unit + j][row], v = codes.u[8 * unit + 4 + j][row];
        high[at] = static_cast<uint8_t>((u >> 4) | (v & 0xf0u));
        if (low != nullptr) low[at] = static_cast<uint8_t>((u & 15u) | (v & 15u) << 4);
      }
  }
}

}  // namespace

std::optional<BadWeight> encode(ThreadPool& pool, const Kernels& kernels, const DenseView& w,
                                Planes& planes) {
  const size_t N = w.N, K = w.K, stride = group_count(K) * kGroup;
  // kn reads columns: several row groups at a time, so that each cache line serves many rows.
  const size_t slab = w.layout == Layout::kn ? 64 : kRows;
  const size_t element = size_of(w.dtype);
  std::vector<std::vector<float>> buffers(pool.threads());
  std::atomic<size_t> first_bad{SIZE_MAX};  // row·K + k of [N, K]

  pool.run(ceil_div(N, slab), [&](size_t piece, size_t worker) {
    std::vector<float>& buffer = buffers[worker];
    buffer.assign(slab * stride, 0.0f);
    const size_t begin = piece * slab, count = std::min(slab, N - begin);
    const auto* data = static_cast<const uint8_t*>(w.data);
    if (w.layout == Layout::nk) {
      for (size_t r = 0; r < count; ++r)
        kernels.to_float(w.dtype, data + (begin + r) * K * element, K, buffer.data() + r * stride);
    } else {
      float line[64];
      for (size_t k = 0; k < K; ++k) {
        kernels.to_float(w.dtype, data + (k * N + begin) * element, count, line);
        for (size_t r = 0; r < count; ++r) buffer[r * stride + k] = line[r];
      }
    }
    for (size_t r = 0; r < count; ++r) {
      float* row = buffer.data() + r * stride;
      for (size_t k = 0; k < K; ++k)
        if (!(std::fabs(row[k]) <= kLargestWeight)) {
          const size_t at = (begin + r) * K + k;
          size_t seen = first_bad.load();
          while (at < seen && !first_bad.compare_exchange_weak(seen, at)) {
          }
          return;
        }
      // Padding repeats the last weight: it must not widen the range of its group.
      std::fill(row + K, row + stride, K == 0 ? 0.0f : row[K - 1]);
    }
    for (size_t r = 0; r < count; r += kRows) {
      const size_t rg = (begin + r) / kRows;
      encode_row_group(kernels, buffer.data() + r * stride, std::min(kRows, count - r), K,
                       planes.base() + rg * base_stride(K),
                       planes.has_refine() ? planes.refine() + rg * refine_stride(K) : nullptr,
                       planes.factors() + rg * 2);
    }
  });

  const size_t bad = first_bad.load();
  if (bad == SIZE_MAX) return std::nullopt;
  const size_t n = bad / K, k = bad % K;
  const bool nk = w.layout == Layout::nk;
  BadWeight found{nk ? n : k, nk ? k : n, 0};
  kernels.to_float(w.dtype,
                   static_cast<const uint8_t*>(w.data) + (nk ? n * K + k : k * N + n) * element, 1,
                   &found.value);
  return found;
}

std::optional<size_t> first_nonfinite(ThreadPool& pool, DType dtype, const void* data,
                                      size_t count) {
  constexpr size_t kPiece = 1 << 18;
  std::atomic<size_t> first{SIZE_MAX};
  const auto note = [&](size_t at) {
    size_t seen = first.load();
    while (at < seen && !first.compare_exchange_weak(seen, at)) {
    }
  };
  // All exponent bits set: infinity or NaN.
  const auto scan = [&](const auto* bits, auto exponent, size_t begin, size_t end) {
    for (size_t i = begin; i < end;) {
      const size_t stop = std::min(end, i + 1024);
      bool any = false;
      for (size_t j = i; j < stop; ++j) any |= (bits[j] & exponent) == exponent;
      if (any) {
        while ((bits[i] & exponent) != exponent) ++i;
        return note(i);
      }
      i = stop;
    }
  };
  pool.run(ceil_div(count, kPiece), [&](size_t piece, size_t) {
    const size_t begin = piece * kPiece, end = std::min(count, begin + kPiece);
    if (dtype == DType::f32)
      scan(static_cast<const uint32_t*>(data), uint32_t{0x7f800000}, begin, end);
    else
      scan(static_cast<const uint16_t*>(data),
           static_cast<uint16_t>(dtype == DType::f16 ? 0x7c00 : 0x7f80), begin, end);
  });
  if (first.load() == SIZE_MAX) return std::nullopt;
  return first.load();
}

}  // namespace lapwing

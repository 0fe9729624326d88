// The integer linear on planes for AVX2: rows in lanes, activations broadcast, u4 × s8 by
// vpmaddubsw. A group of 32 stays exact in int16 (8 additions of at most 2·15·127 < 2^15); the
// codes of s then multiply while it is widened, exactly (below 2^31). Few tokens read nibbles
// straight from the planes; many share panels (panels_avx2.hpp).
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// A sum stays the chain of additions it is written as, in one register: GCC would turn several into
// a tree, with more halves to remember than there are registers.
static inline void keep(__m256i& sum) { asm("" : "+x"(sum)); }

// R row groups, `apart` from one another, × T tokens, nibbles straight from the planes. Row groups
// share the broadcasts of a token, two tokens the split nibbles of a row group. Row groups that lie
// far apart are streams of their own: memory and its prefetchers serve several long runs faster
// than one, and much faster than short ones side by side (benchmarks/NOTES.md).
template <bool Both, size_t R, size_t T>
static void direct_tile(const PlaneView& w, const QuantizedRows& x, size_t t, size_t rg,
                        size_t apart, const Epilogue& e, float* out) {
  static_assert(R * T <= 2);
  constexpr size_t kPlanes = Both ? 2 : 1, kAhead = 1024;  // bytes, of each stream
  const size_t groups = group_count(w.K);
  const size_t base_bytes = apart * base_stride(w.K), refine_bytes = apart * refine_stride(w.K);
  const __m256i mask = _mm256_set1_epi8(15);
  const uint8_t* base = w.base + rg * base_stride(w.K);
  const uint8_t* refine = Both ? w.refine + rg * refine_stride(w.K) : nullptr;
  const int8_t* codes = x.codes + t * groups * kGroup;
  const float *scale = x.scale + t * groups, *sum = x.sum + t * groups;
  const float* factors[R];
#pragma GCC unroll 4
  for (size_t r = 0; r < R; ++r) factors[r] = w.factors + (rg + r * apart) * 2;
  F8 scaled[R][T], centred[R][T];
#pragma GCC unroll 4
  for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (size_t i = 0; i < T; ++i) scaled[r][i] = centred[r][i] = zero();

  for (size_t first = 0; first < groups; first += kBlockGroups) {
    const size_t count = groups - first < kBlockGroups ? groups - first : kBlockGroups;
    const auto prefetch = [](const uint8_t* p) { __builtin_prefetch(p + kAhead, 0, 2); };
#pragma GCC unroll 4
    for (size_t r = 0; r < R; ++r) prefetch(base + r * base_bytes);
    for (size_t g = 0; g < count; ++g) {
#pragma GCC unroll 4
      for (size_t r = 0; r < R; ++r) {
        const uint8_t* line = base + r * base_bytes + g * kGroupNibbleBytes;
        prefetch(line + 64);
        prefetch(line + 128);
        if (Both) {
          line = refine + r * refine_bytes + g * kGroupNibbleBytes;
          prefetch(line);
          prefetch(line + 64);
        }
      }
      __m256i sums[kPlanes][R][T];
#pragma GCC unroll 4
      for (size_t u = 0; u < kGroupUnits; ++u) {
        const size_t at = g * kGroupNibbleBytes + u * kUnitBytes;
        __m256i x_low[T], x_high[T];
#pragma GCC unroll 4
        for (size_t i = 0; i < T; ++i) {
          x_low[i] = broadcast4(codes + i * groups * kGroup + u * 8);
          x_high[i] = broadcast4(codes + i * groups * kGroup + u * 8 + 4);
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 4
          for (size_t p = 0; p < kPlanes; ++p) {
            const __m256i both =
                load_bytes(p == 0 ? base + r * base_bytes + offsetof(BaseBlock, nibbles) + at
                                  : refine + r * refine_bytes + at);
            const __m256i low = _mm256_and_si256(both, mask);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
#pragma GCC unroll 4
            for (size_t i = 0; i < T; ++i) {
              const __m256i a = _mm256_maddubs_epi16(low, x_low[i]);
              const __m256i b = _mm256_maddubs_epi16(high, x_high[i]);
              sums[p][r][i] = _mm256_add_epi16(u == 0 ? a : _mm256_add_epi16(sums[p][r][i], a), b);
              keep(sums[p][r][i]);
            }
          }
      }
#pragma GCC unroll 4
      for (size_t r = 0; r < R; ++r) {
        const uint8_t* s = base + r * base_bytes + g * kRows;
        const __m256i scales = scale_pairs(s);
        const F8 m = centres<Both>(s, s + offsetof(BaseBlock, centre), factors[r]);
#pragma GCC unroll 4
        for (size_t i = 0; i < T; ++i) {
          const __m256i total = group_total<Both>(sums[0][r][i], sums[kPlanes - 1][r][i], scales);
          const F8 x_scale = set1(scale[i * groups + first + g]);
          scaled[r][i] = fma(_mm256_cvtepi32_ps(total), x_scale, scaled[r][i]);
          centred[r][i] = fma(m, set1(sum[i * groups + first + g]), centred[r][i]);
        }
      }
      codes += kGroup;
    }
    base += sizeof(BaseBlock);
    if (Both) refine += sizeof(RefineBlock);
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < R; ++r) {
    const size_t group = rg + r * apart, n = group * kRows;
#pragma GCC unroll 4
    for (size_t i = 0; i < T; ++i)
      finish(join<Both>(scaled[r][i], centred[r][i], factors[r]), e, t + i, n, w.N - n, out);
  }
}

// R neighbouring row groups × T tokens, nibbles straight from the planes, split once for all of
// them: one plane after the other, so that only R·T sums are open at a time.
template <bool Both, size_t R, size_t T>
static __attribute__((noinline)) void shared_tile(const PlaneView& w, const QuantizedRows& x,
                                                  size_t t, size_t rg, const Epilogue& e,
                                                  float* out) {
  static_assert(R * T <= 8);
  const size_t groups = group_count(w.K);
  const __m256i mask = _mm256_set1_epi8(15);
  const uint8_t* base = w.base + rg * base_stride(w.K);
  const uint8_t* refine = Both ? w.refine + rg * refine_stride(w.K) : nullptr;
  const float* factors = w.factors + rg * 2;
  const int8_t* codes[T];
  const float *scale[T], *sum[T];
  F8 scaled[R][T], centred[R][T];
#pragma GCC unroll 4
  for (size_t i = 0; i < T; ++i) {
    codes[i] = x.codes + (t + i) * groups * kGroup;
    scale[i] = x.scale + (t + i) * groups;
    sum[i] = x.sum + (t + i) * groups;
#pragma GCC unroll 2
    for (size_t r = 0; r < R; ++r) scaled[r][i] = centred[r][i] = zero();
  }
  for (size_t g = 0; g < groups; ++g) {
    const auto plane_sums = [&](const uint8_t* nibbles, size_t stride, __m256i(&sums)[R][T]) {
#pragma GCC unroll 4
      for (size_t u = 0; u < kGroupUnits; ++u) {
        __m256i both[R];
#pragma GCC unroll 2
        for (size_t r = 0; r < R; ++r) both[r] = load_bytes(nibbles + r * stride + u * kUnitBytes);
#pragma GCC unroll 2
        for (size_t part = 0; part < 2; ++part) {
          __m256i weights[R];
#pragma GCC unroll 2
          for (size_t r = 0; r < R; ++r)
            weights[r] =
                _mm256_and_si256(part == 0 ? both[r] : _mm256_srli_epi16(both[r], 4), mask);
#pragma GCC unroll 4
          for (size_t i = 0; i < T; ++i) {
            const __m256i v = broadcast4(codes[i] + g * kGroup + u * 8 + part * 4);
#pragma GCC unroll 2
            for (size_t r = 0; r < R; ++r) {
              const __m256i product = _mm256_maddubs_epi16(weights[r], v);
              sums[r][i] = u == 0 && part == 0 ? product : _mm256_add_epi16(sums[r][i], product);
              keep(sums[r][i]);
            }
          }
        }
      }
    };
    __m256i sums[R][T], totals[R][T], scales[R];
    plane_sums(base + base_nibble_offset(g), base_stride(w.K), sums);
#pragma GCC unroll 2
    for (size_t r = 0; r < R; ++r) {
      scales[r] = scale_pairs(base + r * base_stride(w.K) + scale_offset(g));
      const __m256i first = Both ? _mm256_slli_epi16(scales[r], 4) : scales[r];
#pragma GCC unroll 4
      for (size_t i = 0; i < T; ++i) totals[r][i] = _mm256_madd_epi16(sums[r][i], first);
    }
    if (Both) {
      plane_sums(refine + refine_nibble_offset(g), refine_stride(w.K), sums);
#pragma GCC unroll 2
      for (size_t r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (size_t i = 0; i < T; ++i)
          totals[r][i] = _mm256_add_epi32(totals[r][i], _mm256_madd_epi16(sums[r][i], scales[r]));
    }
#pragma GCC unroll 2
    for (size_t r = 0; r < R; ++r) {
      const uint8_t* s = base + r * base_stride(w.K) + scale_offset(g);
      const F8 m = centres<Both>(s, s + offsetof(BaseBlock, centre), factors + 2 * r);
#pragma GCC unroll 4
      for (size_t i = 0; i < T; ++i) {
        scaled[r][i] = fma(_mm256_cvtepi32_ps(totals[r][i]), set1(scale[i][g]), scaled[r][i]);
        centred[r][i] = fma(m, set1(sum[i][g]), centred[r][i]);
      }
    }
  }
  const size_t n = rg * kRows;
#pragma GCC unroll 4
  for (size_t i = 0; i < T; ++i) {
    const auto output = [&](size_t r) {
      return join<Both>(scaled[r][i], centred[r][i], factors + 2 * r);
    };
    if constexpr (R == 2)
      finish(output(0), output(1), e, t + i, n, w.N - n, out);
    else
      finish(output(0), e, t + i, n, w.N - n, out);
  }
}

// A few tokens, R row groups at a time.
template <bool Both, size_t R>
static void shared_tiles(const PlaneView& w, const QuantizedRows& x, size_t T, size_t rg,
                         const Epilogue& e, float* out) {
  size_t t = 0;
  for (; t + 4 <= T; t += 4) shared_tile<Both, R, 4>(w, x, t, rg, e, out);
  if (t + 3 == T) shared_tile<Both, R, 3>(w, x, t, rg, e, out);
  if (t + 2 == T) shared_tile<Both, R, 2>(w, x, t, rg, e, out);
  if (t + 1 == T) shared_tile<Both, R, 1>(w, x, t, rg, e, out);
}

// Two tokens and more.
template <bool Both>
static void several_tokens(const PlaneView& w, const QuantizedRows& x, size_t T, size_t first,
                           size_t last, const Epilogue& e, float* out, uint8_t* scratch) {
  const bool narrow = Both && x.range == CodeRange::narrow;
  if (narrow && T >= kManyNarrowCodes)
    return panel_linear<Form::bytes>(w, x, T, first, last, e, out, scratch);
  if (!narrow && T >= kManyCodes)
    return panel_linear<Both ? Form::words : Form::nibbles>(w, x, T, first, last, e, out, scratch);
  size_t rg = first;
  for (; rg + 2 <= last; rg += 2) shared_tiles<Both, 2>(w, x, T, rg, e, out);
  if (rg < last) shared_tiles<Both, 1>(w, x, T, rg, e, out);
}

}  // namespace lapwing::LAPWING_ISA

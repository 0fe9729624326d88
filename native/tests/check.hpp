// What a native test needs: checks that name their place, repeatable numbers, guarded memory.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cpu_features.hpp"
#include "cpu_isa.hpp"
#include "kernels.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define LAPWING_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LAPWING_ASAN 1
#endif
#endif
#ifdef LAPWING_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace lapwing {
// Plane products by AVX-VNNI and AVX-512 VNNI whose few new instructions are functions:
// emulated.hpp.
const Kernels& emulated_avx_vnni_kernels();
const Kernels& emulated_avx512_vnni_kernels();
}  // namespace lapwing

namespace lapwing::test {

inline int failures = 0;

inline void fail(const char* file, int line, const std::string& what) {
  if (++failures <= 20) std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
}

#define CHECK(condition) CHECK_AS(condition, std::string())
#define CHECK_AS(condition, where)                                                         \
  do {                                                                                     \
    if (!(condition))                                                                      \
      ::lapwing::test::fail(__FILE__, __LINE__, std::string(#condition) + "  " + (where)); \
  } while (false)
#define CHECK_THROWS(expression, Exception)                                                    \
  do {                                                                                         \
    bool thrown = false;                                                                       \
    try {                                                                                      \
      expression;                                                                              \
    } catch (const Exception&) {                                                               \
      thrown = true;                                                                           \
    }                                                                                          \
    if (!thrown) ::lapwing::test::fail(__FILE__, __LINE__, #expression " throws " #Exception); \
  } while (false)

inline int report(const char* name) {
  if (failures == 0)
    std::printf("%s: ok\n", name);
  else
    std::fprintf(stderr, "%s: %d checks failed\n", name, failures);
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

// splitmix64: the same numbers everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  // Nearly normal, variance 1.
  float normal() {
    float sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<float>(next() >> 40) * 0x1p-24f - 0.5f;
    return sum * 1.7320508f;
  }

 private:
  uint64_t state_;
};

// `size` elements; behind them lie large finite values that no kernel may read or write. Under
// AddressSanitizer a read stops the test; otherwise it makes the result loudly wrong.
template <class T>
class Guarded {
 public:
  explicit Guarded(size_t size) : size_(size), memory_(new (std::align_val_t{64}) T[size + kTail]) {
    std::memset(memory_, 0x7e, (size + kTail) * sizeof(T));
#ifdef LAPWING_ASAN
    __asan_poison_memory_region(memory_ + size_, kTail * sizeof(T));
#endif
  }
  Guarded(Guarded&& other) noexcept : size_(other.size_), memory_(other.memory_) {
    other.memory_ = nullptr;
  }
  ~Guarded() {
    if (memory_ == nullptr) return;
#ifdef LAPWING_ASAN
    __asan_unpoison_memory_region(memory_ + size_, kTail * sizeof(T));
#endif
    ::operator delete[](memory_, std::align_val_t{64});
  }
  T* data() const { return memory_; }
  size_t size() const { return size_; }
  T& operator[](size_t i) const { return memory_[i]; }
  bool tail_untouched() const {
#ifndef LAPWING_ASAN
    const auto* bytes = reinterpret_cast<const unsigned char*>(memory_ + size_);
    for (size_t i = 0; i < kTail * sizeof(T); ++i)
      if (bytes[i] != 0x7e) return false;
#endif
    return true;
  }
  bool same_bytes(const Guarded& other) const {
    return size_ == other.size_ && std::memcmp(memory_, other.memory_, size_ * sizeof(T)) == 0;
  }

 private:
  static constexpr size_t kTail = 64;
  size_t size_;
  T* memory_;
};

inline Guarded<float> random_floats(Random& random, size_t count, float scale = 1) {
  Guarded<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = random.normal() * scale;
  return values;
}

// Finite numbers of a stored dtype, from random floats.
inline uint16_t to_half_bits(float value) {  // by truncation: any bits will do here
  const int exponent = value == 0 ? -100 : std::ilogb(value);
  if (exponent < -14) return 0;
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits >> 16 & 0x8000u) | (exponent + 15) << 10 |
                               (bits >> 13 & 0x3ffu));
}
inline Guarded<uint8_t> random_weights(Random& random, DType dtype, size_t count, float scale = 1) {
  Guarded<uint8_t> bytes(count * size_of(dtype));
  for (size_t i = 0; i < count; ++i) {
    const float value = random.normal() * scale;
    const auto bits = std::bit_cast<uint32_t>(value);
    const uint16_t half =
        dtype == DType::f16 ? to_half_bits(value) : static_cast<uint16_t>(bits >> 16);
    if (dtype == DType::f32)
      std::memcpy(bytes.data() + i * 4, &bits, 4);
    else
      std::memcpy(bytes.data() + i * 2, &half, 2);
  }
  return bytes;
}

inline constexpr DType kDTypes[] = {DType::f32, DType::f16, DType::bf16};
inline const char* name_of(DType dtype) {
  return dtype == DType::f32 ? "f32" : dtype == DType::f16 ? "f16" : "bf16";
}

inline const std::vector<size_t> kThreads = {1, 2, 3, 5};

// Every instruction set of this machine but the generic one, which they must equal.
inline std::vector<const Kernels*> fast_kernels() {
  std::vector<const Kernels*> list;
  for (const std::string& name : available_isas())
    if (name != "generic") list.push_back(&kernels_for(name));
#ifdef LAPWING_EMULATED  // see emulated.hpp
  if (x86_features_here().avx2)
    list.insert(list.end(), {&emulated_avx_vnni_kernels(), &emulated_avx512_vnni_kernels()});
#endif
  return list;
}

inline std::string at(const char* what, size_t a, size_t b = 0, size_t c = 0) {
  return std::string(what) + " [" + std::to_string(a) + ", " + std::to_string(b) + ", " +
         std::to_string(c) + "]";
}

}  // namespace lapwing::test

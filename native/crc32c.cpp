#include "crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace lapwing {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected
constexpr size_t kSlices = 8;                 // bytes that the tables take at a time

// tables[i][b]: what byte b does to the value, i bytes further on.
using Tables = std::array<std::array<uint32_t, 256>, kSlices>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t value = b;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? kPolynomial : 0);
    tables[0][b] = value;
  }
  for (size_t i = 1; i < kSlices; ++i)
    for (size_t b = 0; b < 256; ++b)
      tables[i][b] = (tables[i - 1][b] >> 8) ^ tables[0][tables[i - 1][b] & 255];
  return tables;
}

constexpr Tables kTables = make_tables();

#if defined(__x86_64__)
// The instruction takes 3 cycles and one can begin in each: three streams go side by side. Moving a
// value over zero bytes is linear in its bits, so the CRC of two pieces is that of the first, moved
// over the length of the second, xor that of the second begun at 0 (M. Adler's crc32c.c does so).
constexpr size_t kStream = 4096;

using Moved = std::array<std::array<uint32_t, 256>, 4>;  // [byte of the value][its value]

constexpr Moved make_moved() {
  std::array<uint32_t, 32> bits{};  // what each bit becomes
  for (size_t bit = 0; bit < 32; ++bit) {
    uint32_t value = uint32_t{1} << bit;
    for (size_t zero = 0; zero < kStream; ++zero) value = (value >> 8) ^ kTables[0][value & 255];
    bits[bit] = value;
  }
  Moved moved{};
  for (size_t byte = 0; byte < 4; ++byte)
    for (size_t value = 0; value < 256; ++value)
      for (size_t bit = 0; bit < 8; ++bit)
        if (value >> bit & 1) moved[byte][value] ^= bits[8 * byte + bit];
  return moved;
}

uint32_t move_over_stream(uint32_t value) {
  static const Moved moved = make_moved();
  return moved[0][value & 255] ^ moved[1][value >> 8 & 255] ^ moved[2][value >> 16 & 255] ^
         moved[3][value >> 24];
}

uint64_t word_at(const uint8_t* data) {
  uint64_t word;
  std::memcpy(&word, data, 8);
  return word;
}

__attribute__((target("sse4.2"))) uint32_t crc32c_sse42(uint32_t value, const uint8_t* data,
                                                        size_t count) {
  uint64_t state = ~value;
  for (; count >= 3 * kStream; data += 3 * kStream, count -= 3 * kStream) {
    uint64_t second = 0, third = 0;
    for (const uint8_t* p = data; p < data + kStream; p += 8) {
      state = _mm_crc32_u64(state, word_at(p));
      second = _mm_crc32_u64(second, word_at(p + kStream));
      third = _mm_crc32_u64(third, word_at(p + 2 * kStream));
    }
    state = move_over_stream(static_cast<uint32_t>(state)) ^ second;
    state = move_over_stream(static_cast<uint32_t>(state)) ^ third;
  }
  for (; count >= 8; data += 8, count -= 8) state = _mm_crc32_u64(state, word_at(data));
  auto rest = static_cast<uint32_t>(state);
  for (; count > 0; ++data, --count) rest = _mm_crc32_u8(rest, *data);
  return ~rest;
}
#endif

}  // namespace

uint32_t crc32c_tables(uint32_t value, const uint8_t* data, size_t count) {
  uint32_t state = ~value;
  for (; count >= kSlices; data += kSlices, count -= kSlices) {
    uint32_t next = 0;
    for (size_t i = 0; i < kSlices; ++i) {
      const uint32_t byte = data[i] ^ (i < 4 ? state >> (8 * i) & 255 : 0);
      next ^= kTables[kSlices - 1 - i][byte & 255];
    }
    state = next;
  }
  for (; count > 0; ++data, --count) state = (state >> 8) ^ kTables[0][(state ^ *data) & 255];
  return ~state;
}

uint32_t crc32c(uint32_t value, const uint8_t* data, size_t count) {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2");
  if (fast) return crc32c_sse42(value, data, count);
#endif
  return crc32c_tables(value, data, count);
}

}  // namespace lapwing

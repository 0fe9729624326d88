// The plane format: one byte per weight, u = 16·hi + lo, kept as two planes of nibbles.
//
//   int8 (both planes)   w ≈ m + s/16·(u − 7.5)
//   int4 (base plane)    w ≈ m + s·hi                   the centre of the same cell
//
// s and m belong to one row and one group of 32 along K: s = scale_code·factor[0] (unsigned byte),
// m = centre_code·factor[1] (signed byte); 8 rows share the two float factors.
// With integer sums over a group, S_hi = Σ hi·q, S_lo = Σ lo·q, and Σx = d·Σq:
//   int4  Σ w·x = s·d·S_hi + m·Σx
//   int8  Σ w·x = s/16·d·(16·S_hi + S_lo) + (m − 7.5·s/16)·Σx
//
// Layout, one for every instruction set. A row group is 8 rows, a block is 8 rows × 128 k. The base
// plane holds, row group after row group, its blocks in order of k; the refine plane likewise.
// The last block of a row group may hold fewer than four groups: its nibbles simply end earlier, so
// every block is a whole number of cache lines and base reads are one stream.
// N is padded to 8 with s = m = 0, K to 32 (the activations there are zero).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lapwing {

inline constexpr size_t kRows = 8;         // rows of a row group: one vector lane each
inline constexpr size_t kGroup = 32;       // weights that share s and m
inline constexpr size_t kBlockGroups = 4;  // groups of a block
inline constexpr size_t kBlockK = kGroup * kBlockGroups;
inline constexpr size_t kGroupUnits = 4;  // 32-byte units of a group: 8 rows × 4 bytes, 8 k each
inline constexpr size_t kUnitBytes = 32;
inline constexpr size_t kGroupNibbleBytes = kGroupUnits * kUnitBytes;

// Byte j of a row in unit i holds k = 8i + j in its low nibble and k = 8i + 4 + j in its high one.
struct BaseBlock {
  uint8_t scale[kBlockGroups][kRows];
  int8_t centre[kBlockGroups][kRows];
  uint8_t nibbles[kBlockGroups][kGroupUnits][kRows][4];
};
struct RefineBlock {
  uint8_t nibbles[kBlockGroups][kGroupUnits][kRows][4];
};
static_assert(sizeof(BaseBlock) == 576 && offsetof(BaseBlock, centre) == 32 &&
              offsetof(BaseBlock, nibbles) == 64);
static_assert(sizeof(BaseBlock) % 64 == 0, "nine cache lines");
static_assert(sizeof(RefineBlock) == 512);
static_assert(kRows * kBlockK / 2 == sizeof(RefineBlock), "one nibble per weight");

constexpr size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

constexpr size_t group_count(size_t K) { return ceil_div(K, kGroup); }
constexpr size_t row_group_count(size_t N) { return ceil_div(N, kRows); }

// Bytes of one row group in each plane.
constexpr size_t base_stride(size_t K) {
  const size_t groups = group_count(K);
  return ceil_div(groups, kBlockGroups) * offsetof(BaseBlock, nibbles) + groups * kGroupNibbleBytes;
}
constexpr size_t refine_stride(size_t K) { return group_count(K) * kGroupNibbleBytes; }
static_assert(base_stride(128) == sizeof(BaseBlock) && base_stride(160) == 576 + 192);
static_assert(base_stride(32) == 192 && base_stride(64) == 320 && base_stride(96) == 448);
static_assert(refine_stride(128) == sizeof(RefineBlock));

struct PlaneView {
  size_t N = 0, K = 0;
  const uint8_t* base = nullptr;
  const uint8_t* refine = nullptr;  // null: only the base plane is held
  const float* factors = nullptr;   // [row groups][2]: of s, of m
};

enum class Precision { int4, int8 };

// Where group g of a row group starts in the base plane, and its nibbles in each plane.
constexpr size_t block_offset(size_t g) { return g / kBlockGroups * sizeof(BaseBlock); }
constexpr size_t base_nibble_offset(size_t g) {
  return block_offset(g) + offsetof(BaseBlock, nibbles) + g % kBlockGroups * kGroupNibbleBytes;
}
constexpr size_t scale_offset(size_t g) { return block_offset(g) + g % kBlockGroups * kRows; }
constexpr size_t centre_offset(size_t g) {
  return block_offset(g) + offsetof(BaseBlock, centre) + g % kBlockGroups * kRows;
}
constexpr size_t refine_nibble_offset(size_t g) { return g * kGroupNibbleBytes; }

// The code (0…15) of weight k in [0, 32) of `row`, given the nibbles of a group in one plane.
constexpr unsigned nibble_at(const uint8_t* nibbles, size_t row, size_t k) {
  const uint8_t byte = nibbles[k / 8 * kUnitBytes + row * 4 + k % 4];
  return k % 8 < 4 ? byte & 15u : byte >> 4;
}

// Row `row` of the matrix as float32 [K], as the given precision reads it.
void decode_row(const PlaneView& planes, Precision precision, size_t row, float* out);

}  // namespace lapwing

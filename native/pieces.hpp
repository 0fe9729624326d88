// How an operation is cut for the threads.
#pragma once

#include <algorithm>
#include <cstddef>

#include "planes.hpp"

namespace lapwing {

// Below this many multiply-adds an operation is done before another thread would have woken.
inline constexpr size_t kSmallWork = 1 << 15;

// Pieces of `units` so that each thread gets several, none smaller than kSmallWork multiply-adds.
// All threads wait for the last piece: where pieces are many, less of it. What streams from memory
// wants long ones.
inline constexpr size_t kPieces = 8, kManyPieces = 24;  // of a thread
struct Pieces {
  size_t count, size;
};
inline Pieces divide(size_t units, size_t work_per_unit, size_t threads, size_t multiple = 1,
                     size_t each = kPieces) {
  if (units == 0) return {0, 1};
  if (threads == 1) return {1, units};
  const size_t floor = std::max<size_t>(1, kSmallWork / std::max<size_t>(1, work_per_unit));
  size_t size = std::max(floor, ceil_div(units, threads * each));
  size = ceil_div(size, multiple) * multiple;
  return {ceil_div(units, size), size};
}

constexpr size_t round64(size_t n) { return ceil_div(n, 64) * 64; }

}  // namespace lapwing

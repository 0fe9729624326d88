// How an operation is cut for the threads.
#pragma once

#include <algorithm>
#include <cstddef>

#include "planes.hpp"

namespace lapwing {

// Below this many multiply-adds an operation is done before another thread would have woken.
inline constexpr size_t kSmallWork = 1 << 15;

// Pieces of `units` so that each thread gets several, none smaller than kSmallWork multiply-adds.
struct Pieces {
  size_t count, size;
};
inline Pieces divide(size_t units, size_t work_per_unit, size_t threads, size_t multiple = 1) {
  if (units == 0) return {0, 1};
  if (threads == 1) return {1, units};
  const size_t floor = std::max<size_t>(1, kSmallWork / std::max<size_t>(1, work_per_unit));
  size_t size = std::max(floor, ceil_div(units, threads * 8));
  size = ceil_div(size, multiple) * multiple;
  return {ceil_div(units, size), size};
}

constexpr size_t round64(size_t n) { return ceil_div(n, 64) * 64; }

}  // namespace lapwing

// The planes of the panel that comes next.
#include "../kernels.hpp"

namespace lapwing::LAPWING_ISA {

// Asked for into L2 in equal shares while tokens pass a panel: all at once while it is filled, they
// delayed the planes that it is filled from (benchmarks/NOTES.md).
class PlanesAhead {
 public:
  // Row groups [first, first + count) as far as there are such; shares: calls of `fetch`.
  PlanesAhead(const PlaneView& w, bool both, size_t first, size_t count, size_t shares) {
    const size_t all = row_group_count(w.N);
    if (first >= all) return;
    if (count > all - first) count = all - first;
    next_[0] = w.base + first * base_stride(w.K);
    lines_[0] = count * base_stride(w.K) / 64;
    if (both) {
      next_[1] = w.refine + first * refine_stride(w.K);
      lines_[1] = count * refine_stride(w.K) / 64;
    }
    share_ = ceil_div(lines_[0] + lines_[1], shares);
  }
  void fetch() {
    size_t most = share_;
    for (size_t plane = 0; plane < 2; ++plane) {
      const size_t count = most < lines_[plane] ? most : lines_[plane];
      for (size_t i = 0; i < count; ++i) __builtin_prefetch(next_[plane] + i * 64, 0, 2);
      next_[plane] += count * 64, lines_[plane] -= count, most -= count;
    }
  }

 private:
  const uint8_t* next_[2] = {};
  size_t lines_[2] = {}, share_ = 0;
};

}  // namespace lapwing::LAPWING_ISA

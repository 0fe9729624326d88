// Every kernel in plain C++: runs anywhere, and is what the others are tested against.
// clang-format off: each of these builds on those before it.
#include "kernels/vec_generic.hpp"
#define LAPWING_ISA generic
#include "kernels/float_math.hpp"
#include "kernels/rows.hpp"
#include "kernels/widen.hpp"
#include "kernels/dense_panels.hpp"
#include "kernels/dense.hpp"
#include "kernels/attention.hpp"
#include "kernels/attend_all.hpp"
#include "kernels/quantize.hpp"
#include "kernels/plane_factors.hpp"
#include "kernels/planes_plain.hpp"
#include "kernels/peak.hpp"
#include "kernels/table.hpp"
// clang-format on

namespace lapwing {

const Kernels& generic_kernels() {
  static constexpr Kernels table = generic::make_table("generic");
  return table;
}

}  // namespace lapwing

// Every kernel in plain C++: runs anywhere, and is what the others are tested against.
#include "kernels/vec_generic.hpp"
#define LAPWING_ISA generic
#include "kernels/attention.hpp"
#include "kernels/dense.hpp"
#include "kernels/float_math.hpp"
#include "kernels/planes_plain.hpp"
#include "kernels/quantize.hpp"
#include "kernels/table.hpp"

namespace lapwing {

const Kernels& generic_kernels() {
  static constexpr Kernels table = generic::make_table("generic");
  return table;
}

}  // namespace lapwing

// Kernels for AVX2 with FMA and F16C (x86 from 2013 on). Only this file is compiled for it.
// clang-format off: each of these builds on those before it.
#define LAPWING_ISA avx2
#include "kernels/vec_avx2.hpp"
#include "kernels/float_math.hpp"
#include "kernels/rows.hpp"
#include "kernels/widen.hpp"
#include "kernels/dense_panels.hpp"
#include "kernels/dense.hpp"
#include "kernels/attention.hpp"
#include "kernels/attend_all.hpp"
#include "kernels/quantize.hpp"
#include "kernels/plane_factors.hpp"
#include "kernels/planes_ahead.hpp"
#include "kernels/bytes_avx2.hpp"
#include "kernels/panels_avx2.hpp"
#include "kernels/planes_avx2.hpp"
#include "kernels/plane_linear.hpp"
#include "kernels/peak.hpp"
#include "kernels/table.hpp"
// clang-format on

namespace lapwing {

const Kernels& avx2_kernels() {
  static constexpr Kernels table = avx2::make_table("avx2");
  return table;
}

}  // namespace lapwing

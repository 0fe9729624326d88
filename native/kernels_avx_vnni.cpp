// Kernels for AVX-VNNI beside AVX2 (Intel from Alder Lake on, AMD from Zen 5 on).
// clang-format off: each of these builds on those before it.
#define LAPWING_ISA avx_vnni
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
#include "kernels/bytes_vnni.hpp"
#include "kernels/panel_dot.hpp"
#include "kernels/planes_dot.hpp"
#include "kernels/plane_linear.hpp"
#include "kernels/peak.hpp"
#include "kernels/table.hpp"
// clang-format on

namespace lapwing {

const Kernels& avx_vnni_kernels() {
  static constexpr Kernels table = avx_vnni::make_table("avx_vnni");
  return table;
}

}  // namespace lapwing

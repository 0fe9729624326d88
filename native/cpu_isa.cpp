#include "cpu_isa.hpp"

#include <stdexcept>

#include "cpu_features.hpp"
#include "kernels.hpp"

namespace lapwing {

static std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> list;
  [[maybe_unused]] const X86Features x86 = x86_features_here();
  [[maybe_unused]] const ArmFeatures arm = arm_features_here();
  const auto offer = [&](bool supported, const Kernels& (*kernels)()) {
    if (supported) list.push_back(&kernels());
  };
#ifdef LAPWING_HAVE_AVX512_VNNI
  offer(x86.avx512_vnni, avx512_vnni_kernels);
#endif
#ifdef LAPWING_HAVE_AVX_VNNI
  offer(x86.avx_vnni, avx_vnni_kernels);
#endif
#ifdef LAPWING_HAVE_AVX2
  offer(x86.avx2, avx2_kernels);
#endif
#ifdef LAPWING_HAVE_NEON_I8MM
  offer(arm.i8mm, neon_i8mm_kernels);
#endif
#ifdef LAPWING_HAVE_NEON_DOTPROD
  offer(arm.dotprod, neon_dotprod_kernels);
#endif
#ifdef LAPWING_HAVE_NEON
  offer(true, neon_kernels);
#endif
  offer(true, generic_kernels);
  return list;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
  return names;
}

const Kernels& kernels_for(const std::string& isa) {
  std::string names;
  for (const Kernels* kernels : available_kernels()) {
    if (isa == "auto" || isa == kernels->name) return *kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->name);
  }
  throw std::invalid_argument("instruction set '" + isa +
                              "' is not available here; choose from: " + names + ", auto");
}

}  // namespace lapwing

#include "cpu_isa.hpp"

#include <stdexcept>

#include "kernels.hpp"

namespace lapwing {

static std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> list;
#ifdef LAPWING_HAVE_AVX2
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c"))
    list.push_back(&avx2_kernels());
#endif
  list.push_back(&generic_kernels());
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

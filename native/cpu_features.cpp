#include "cpu_features.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace lapwing {

#if defined(__x86_64__)
X86Features x86_features_here() {
  X86Words words;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0) return {};
  words.max_leaf = a;
  if (words.max_leaf >= 1) {
    __cpuid(1, a, b, c, d);
    words.leaf1_ecx = c;
  }
  if ((words.leaf1_ecx >> 27 & 1) != 0) {  // OSXSAVE: XGETBV may be used
    uint32_t low = 0, high = 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    words.xcr0 = static_cast<uint64_t>(high) << 32 | low;
  }
  if (words.max_leaf >= 7) {
    __cpuid_count(7, 0, a, b, c, d);
    words.leaf7_eax = a, words.leaf7_ebx = b, words.leaf7_ecx = c;
    if (words.leaf7_eax >= 1) {
      __cpuid_count(7, 1, a, b, c, d);
      words.leaf7_1_eax = a;
    }
  }
  return x86_features(words);
}
#else
X86Features x86_features_here() { return {}; }
#endif

#if defined(__aarch64__) && defined(__APPLE__)
static bool says_yes(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value == 1;
}
ArmFeatures arm_features_here() {
  ArmFeatures found;
  found.dotprod = says_yes("hw.optional.arm.FEAT_DotProd");
  found.i8mm = found.dotprod && says_yes("hw.optional.arm.FEAT_I8MM");
  return found;
}
#elif defined(__aarch64__) && defined(__linux__)
ArmFeatures arm_features_here() { return arm_features(getauxval(AT_HWCAP), getauxval(AT_HWCAP2)); }
#else
ArmFeatures arm_features_here() { return {}; }
#endif

}  // namespace lapwing

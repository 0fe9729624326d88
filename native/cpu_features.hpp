// What a processor and its operating system offer, from the words in which they tell it: decoded
// here, apart from the asking, so that tests can decode the words of machines they do not run on.
#pragma once

#include <cstdint>

namespace lapwing {

// x86: results of CPUID (leaf 0 EAX, 1 ECX, 7.0 EAX EBX ECX, 7.1 EAX; 0 where there is no such
// leaf) and of XGETBV 0 (0 without OSXSAVE).
struct X86Words {
  uint32_t max_leaf = 0, leaf1_ecx = 0, leaf7_eax = 0, leaf7_ebx = 0, leaf7_ecx = 0,
           leaf7_1_eax = 0;
  uint64_t xcr0 = 0;
};
struct X86Features {
  bool avx2 = false;         // with FMA and F16C
  bool avx_vnni = false;     // with the above
  bool avx512_vnni = false;  // F, BW, DQ, VL and VNNI, with avx2
};
constexpr X86Features x86_features(const X86Words& words) {
  const auto has = [](uint64_t word, unsigned bit) { return (word >> bit & 1) != 0; };
  constexpr uint64_t kYmmState = 0x6, kZmmState = 0xe6;  // what the system saves for each thread
  X86Features found;
  const bool fma = has(words.leaf1_ecx, 12), f16c = has(words.leaf1_ecx, 29);
  const bool osxsave = has(words.leaf1_ecx, 27), avx = has(words.leaf1_ecx, 28);
  if (words.max_leaf < 7 || !osxsave || !avx || (words.xcr0 & kYmmState) != kYmmState) return found;
  found.avx2 = fma && f16c && has(words.leaf7_ebx, 5);
  found.avx_vnni = found.avx2 && words.leaf7_eax >= 1 && has(words.leaf7_1_eax, 4);
  const bool avx512 = has(words.leaf7_ebx, 16) && has(words.leaf7_ebx, 17) &&
                      has(words.leaf7_ebx, 30) && has(words.leaf7_ebx, 31);
  found.avx512_vnni =
      found.avx2 && avx512 && has(words.leaf7_ecx, 11) && (words.xcr0 & kZmmState) == kZmmState;
  return found;
}

// aarch64: AT_HWCAP and AT_HWCAP2 as Linux passes them to every process.
struct ArmFeatures {
  bool dotprod = false;
  bool i8mm = false;  // with dotprod
};
constexpr ArmFeatures arm_features(uint64_t hwcap, uint64_t hwcap2) {
  ArmFeatures found;
  found.dotprod = (hwcap >> 20 & 1) != 0;                 // HWCAP_ASIMDDP
  found.i8mm = found.dotprod && (hwcap2 >> 13 & 1) != 0;  // HWCAP2_I8MM
  return found;
}

// Those of this machine; all false on a machine of another kind.
X86Features x86_features_here();
ArmFeatures arm_features_here();

}  // namespace lapwing

// Which kernels a processor is offered: decoded from the words of processors this is not, and
// looked up here. With names as arguments, exactly those must be available on this machine.
#include "check.hpp"

using namespace lapwing;
using namespace lapwing::test;

namespace {

constexpr uint32_t bits(std::initializer_list<unsigned> set) {
  uint32_t word = 0;
  for (const unsigned bit : set) word |= 1u << bit;
  return word;
}

// A processor with everything, under a system that saves all of it.
constexpr X86Words kAll{.max_leaf = 31,
                        .leaf1_ecx = bits({12, 27, 28, 29}),  // FMA, OSXSAVE, AVX, F16C
                        .leaf7_eax = 1,
                        .leaf7_ebx = bits({5, 16, 17, 30, 31}),  // AVX2, AVX-512 F, DQ, BW, VL
                        .leaf7_ecx = bits({11}),                 // AVX-512 VNNI
                        .leaf7_1_eax = bits({4}),                // AVX-VNNI
                        .xcr0 = 0xe7};

bool is(const X86Words& words, bool avx2, bool avx_vnni, bool avx512_vnni) {
  const X86Features found = x86_features(words);
  return found.avx2 == avx2 && found.avx_vnni == avx_vnni && found.avx512_vnni == avx512_vnni;
}

template <class Change>
X86Words but(const Change& change) {
  X86Words words = kAll;
  change(words);
  return words;
}

void test_x86() {
  CHECK(is({}, false, false, false));
  CHECK(is(kAll, true, true, true));
  // The system keeps no register state, that of xmm alone, or no opmasks and upper halves.
  CHECK(is(but([](X86Words& w) { w.leaf1_ecx &= ~bits({27}); }), false, false, false));
  CHECK(is(but([](X86Words& w) { w.xcr0 = 0x3; }), false, false, false));
  for (const uint64_t xcr0 : {0x07, 0x27, 0x67, 0xa7, 0xc7})
    CHECK_AS(is(but([&](X86Words& w) { w.xcr0 = xcr0; }), true, true, false), at("xcr0", xcr0));
  // One feature less.
  for (const unsigned bit : {12, 28, 29})
    CHECK_AS(is(but([&](X86Words& w) { w.leaf1_ecx &= ~bits({bit}); }), false, false, false),
             at("leaf 1", bit));
  CHECK(is(but([](X86Words& w) { w.leaf7_ebx &= ~bits({5}); }), false, false, false));
  for (const unsigned bit : {16, 17, 30, 31})
    CHECK_AS(is(but([&](X86Words& w) { w.leaf7_ebx &= ~bits({bit}); }), true, true, false),
             at("leaf 7", bit));
  CHECK(is(but([](X86Words& w) { w.leaf7_ecx = 0; }), true, true, false));
  CHECK(is(but([](X86Words& w) { w.leaf7_1_eax = 0; }), true, false, true));
  // A subleaf or leaf beyond the last answers with anything.
  CHECK(is(but([](X86Words& w) { w.leaf7_eax = 0; }), true, false, true));
  CHECK(is(but([](X86Words& w) { w.max_leaf = 6; }), false, false, false));
}

void test_arm() {
  constexpr uint64_t kDotprod = 1 << 20, kI8mm = 1 << 13;
  CHECK(!arm_features(~kDotprod, 0).dotprod && !arm_features(~kDotprod, kI8mm).i8mm);
  CHECK(arm_features(kDotprod, 0).dotprod && !arm_features(kDotprod, ~kI8mm).i8mm);
  CHECK(arm_features(kDotprod, kI8mm).dotprod && arm_features(kDotprod, kI8mm).i8mm);
}

// The compiler's own library must see the same.
void test_here() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  __builtin_cpu_init();
  const X86Features here = x86_features_here();
  CHECK(here.avx2 == (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("f16c")));
  CHECK(here.avx512_vnni ==
        (here.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni")));
#endif
  const std::vector<std::string> names = available_isas();
  CHECK(names.back() == "generic");
  for (const std::string& name : names) CHECK(kernels_for(name).name == name);
  CHECK(kernels_for("auto").name == names.front());
  CHECK_THROWS(kernels_for("sse"), std::invalid_argument);
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> names = available_isas();
  for (const std::string& name : names) std::printf("%s ", name.c_str());
  std::printf("\n");
  if (count > 1) CHECK(names == std::vector<std::string>(arguments + 1, arguments + count));
  test_x86();
  test_arm();
  test_here();
  return report("cpu_isa");
}

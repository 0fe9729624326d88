// CRC-32C: published values, both ways, and in pieces.
#include <vector>

#include "check.hpp"
#include "crc32c.hpp"

using namespace lapwing;
using namespace lapwing::test;

// RFC 3720 B.4, and the check value of the catalogue of parametrised CRC algorithms.
static void test_published_values() {
  std::vector<uint8_t> up, down;
  for (int i = 0; i < 32; ++i) up.push_back(i), down.push_back(31 - i);
  const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  for (const auto crc : {crc32c, crc32c_tables}) {
    CHECK(crc(0, std::vector<uint8_t>(32, 0).data(), 32) == 0x8a9136aa);
    CHECK(crc(0, std::vector<uint8_t>(32, 255).data(), 32) == 0x62a8ab43);
    CHECK(crc(0, up.data(), 32) == 0x46dd794e);
    CHECK(crc(0, down.data(), 32) == 0x113fdb5c);
    CHECK(crc(0, digits, 9) == 0xe3069283);
    CHECK(crc(0, digits, 0) == 0);
  }
}

static void test_in_pieces() {
  Random random(1);
  for (size_t count = 0; count < 200; ++count) {
    std::vector<uint8_t> data(count + 1);  // + 1: a pointer even for nothing
    for (auto& byte : data) byte = static_cast<uint8_t>(random.next());
    const uint32_t whole = crc32c(0, data.data(), count);
    CHECK(whole == crc32c_tables(0, data.data(), count));
    for (size_t cut = 0; cut <= count; ++cut)
      CHECK(crc32c(crc32c(0, data.data(), cut), data.data() + cut, count - cut) == whole);
  }
}

// Long enough for several streams side by side, and every way they can end.
static void test_streams() {
  Random random(2);
  std::vector<uint8_t> data(3 * 3 * 4096 + 100);
  for (auto& byte : data) byte = static_cast<uint8_t>(random.next());
  for (const size_t count : {12287u, 12288u, 12289u, 24575u, 24576u, 36864u, 36964u})
    for (const uint32_t value : {0u, 1u, 0xdeadbeefu})
      CHECK(crc32c(value, data.data(), count) == crc32c_tables(value, data.data(), count));
}

int main() {
  test_streams();
  test_published_values();
  test_in_pieces();
  return report("crc32c");
}

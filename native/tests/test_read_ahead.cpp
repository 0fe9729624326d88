// Spans read by a thread: their sums, the end of the file, errors, and being stopped on the way.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "check.hpp"
#include "crc32c.hpp"
#include "read_ahead.hpp"

using namespace lapwing;
using namespace lapwing::test;
using std::chrono::seconds;

static std::vector<uint8_t> write_file(FILE* file, size_t count) {
  Random random(count);
  std::vector<uint8_t> data(count);
  for (auto& byte : data) byte = static_cast<uint8_t>(random.next());
  std::fwrite(data.data(), 1, count, file);
  std::fflush(file);
  return data;
}

static void test_spans_in_any_order() {
  FILE* file = std::tmpfile();
  const std::vector<uint8_t> data = write_file(file, (3u << 20) + 5);
  const std::vector<ReadAhead::Span> spans = {
      {2u << 20, (3u << 20) + 5}, {0, 0}, {0, 2u << 20}, {7, 8}};
  ReadAhead reader(fileno(file), spans);
  std::fclose(file);  // it has a descriptor of its own
  uint64_t total = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    const auto result = reader.wait(i, seconds(30));
    CHECK(result.has_value());
    if (!result) return;
    const uint64_t nbytes = spans[i].end - spans[i].begin;
    CHECK(result->nbytes == nbytes && result->error == 0);
    CHECK(result->crc == crc32c(0, data.data() + spans[i].begin, nbytes));
    total += nbytes;
  }
  CHECK(reader.done_bytes() == total);
  CHECK(!reader.wait(spans.size(), seconds(0)).has_value());
}

static void test_the_end_of_the_file() {
  FILE* file = std::tmpfile();
  const std::vector<uint8_t> data = write_file(file, 1000);
  ReadAhead reader(fileno(file), {{900, 2000}, {5000, 5001}});
  const auto cut = reader.wait(0, seconds(30)), beyond = reader.wait(1, seconds(30));
  CHECK(cut && cut->nbytes == 100 && cut->crc == crc32c(0, data.data() + 900, 100));
  CHECK(beyond && beyond->nbytes == 0 && beyond->error == 0);
  std::fclose(file);
}

static void test_an_error_ends_it() {
  int ends[2];
  CHECK(pipe(ends) == 0);  // cannot be read at an offset
  ReadAhead reader(ends[0], {{0, 10}, {10, 20}});
  const auto result = reader.wait(0, seconds(30));
  CHECK(result && result->error == ESPIPE);
  CHECK(!reader.wait(1, std::chrono::milliseconds(20)).has_value());
  close(ends[0]), close(ends[1]);
  CHECK_THROWS(ReadAhead(-1, {}), std::exception);
}

static void test_stopped_on_the_way() {
  FILE* file = std::tmpfile();
  write_file(file, 4u << 20);
  for (int i = 0; i < 50; ++i) {
    ReadAhead reader(fileno(file), std::vector<ReadAhead::Span>(200, {0, 4u << 20}));
    if (i % 2) reader.stop();
    if (i % 2) CHECK(!reader.wait(199, seconds(30)).has_value());
  }
  std::fclose(file);
}

int main() {
  test_spans_in_any_order();
  test_the_end_of_the_file();
  test_an_error_ends_it();
  test_stopped_on_the_way();
  return report("read_ahead");
}

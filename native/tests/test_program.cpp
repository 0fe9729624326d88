// A pass written down and run again: buffers that are used again, rows that are pooled, what does
// not belong to it.
#include <new>
#include <numeric>

#include "check.hpp"
#include "pass_parts.hpp"
#include "program.hpp"

using namespace lapwing;
using namespace lapwing::test;

namespace {

const Operation kNothing = [](const Frame&) {};

// Two tokens of an embedding of width 4, and what stands for their ids.
struct Pass {
  std::vector<int64_t> ids = {1, 2};
  std::vector<float> embedded = std::vector<float>(8);
  Program program{{ids.data()}, {1, 1}};

  Pass() {
    program.add({.ids = {ids.data()}, .id_limits = {5}, .out = embedded.data(), .width = 4},
                [](const Frame& f) {
                  for (size_t t = 0; t < f.rows; ++t)
                    for (size_t i = 0; i < 4; ++i)
                      f.out[t * 4 + i] = static_cast<float>(f.ids[0][t] * 10 + int64_t(i));
                });
  }
};

std::vector<float> run(Program& program, const std::vector<int64_t>& ids,
                       const std::vector<size_t>& lengths, size_t threads = 1) {
  Context context(threads, "generic");
  const std::vector<std::span<const int64_t>> numbers = {ids};
  const PassInputs inputs{numbers, lengths, {}};
  Guarded<float> out(program.rows(inputs) * program.width());
  program.run(context, inputs, out.data());
  CHECK(out.tail_untouched());
  return {out.data(), out.data() + program.rows(inputs) * program.width()};
}

// y = x + 1, then y = 2·y in place, then out = y + x: x must outlive both.
void test_buffers_outlive_their_last_reader() {
  Pass pass;
  std::vector<float> plus(8), sum(8);
  const float *x = pass.embedded.data(), *y = plus.data();
  pass.program.add({.in = {x}, .out = y, .width = 4}, [](const Frame& f) {
    for (size_t i = 0; i < f.rows * 4; ++i) f.out[i] = f.in[0][i] + 1;
  });
  pass.program.add({.in = {y}, .out = y, .width = 4}, [](const Frame& f) {
    for (size_t i = 0; i < f.rows * 4; ++i) f.out[i] *= 2;
  });
  pass.program.add({.in = {y, x}, .out = sum.data(), .width = 4}, [](const Frame& f) {
    for (size_t i = 0; i < f.rows * 4; ++i) f.out[i] = f.in[0][i] + f.in[1][i];
  });
  CHECK(pass.program.finish(sum.data()));
  CHECK(pass.program.operations() == 4);
  for (const std::vector<int64_t>& ids : {std::vector<int64_t>{3}, {0, 4, 2}, {1}}) {
    const auto out = run(pass.program, ids, {ids.size()});
    CHECK(out.size() == ids.size() * 4);
    for (size_t i = 0; i < out.size(); ++i) {
      const auto value = static_cast<float>(ids[i / 4] * 10) + static_cast<float>(i % 4);
      CHECK(out[i] == 2 * (value + 1) + value);
    }
  }
}

// From tokens to sequences: rows behind a pooling are as many as there are sequences.
void test_pooled_rows() {
  Pass pass;
  const std::vector<size_t> lengths = {1, 1};
  std::vector<float> pooled(8), doubled(8);
  pass.program.add({.in = {pass.embedded.data()},
                    .lengths = lengths,
                    .out = pooled.data(),
                    .width = 4,
                    .pooled = true},
                   [](const Frame& f) {
                     size_t t = 0;
                     for (size_t s = 0; s < f.lengths.size(); ++s) {
                       t += f.lengths[s];
                       std::copy_n(f.in[0] + (t - 1) * 4, 4, f.out + s * 4);
                     }
                   });
  pass.program.add({.in = {pooled.data()}, .out = doubled.data(), .width = 4}, [](const Frame& f) {
    CHECK(f.rows == f.lengths.size());
    for (size_t i = 0; i < f.rows * 4; ++i) f.out[i] = 2 * f.in[0][i];
  });
  CHECK(pass.program.finish(doubled.data()));
  const auto out = run(pass.program, {0, 1, 2, 3, 4}, {2, 3});
  CHECK(out.size() == 8);
  CHECK(out[0] == 20 && out[4] == 80 && out[7] == 86);
}

// Parts follow one another, hold every token, and are as many for each thread, or there are none.
void test_parts() {
  Random random(7);
  size_t cut = 0;
  for (size_t round = 0; round < 2000; ++round) {
    std::vector<size_t> lengths(1 + random.next() % 60);
    const size_t longest = 1 + random.next() % 300;
    for (size_t& length : lengths) length = 1 + random.next() % longest;
    const size_t tokens = std::accumulate(lengths.begin(), lengths.end(), size_t{0});
    const size_t threads = 1 + random.next() % 8;
    const auto parts = parts_for(lengths, tokens, threads);
    if (parts.empty()) continue;
    ++cut;
    CHECK(parts.size() > 1 && parts.size() % threads == 0);
    size_t sequence = 0, token = 0;
    for (const PassPart& part : parts) {
      CHECK(part.first_sequence == sequence && part.first_token == token);
      CHECK(part.last_sequence > sequence);
      for (; sequence < part.last_sequence; ++sequence) token += lengths[sequence];
      CHECK(part.last_token == token);
      CHECK(part.tokens() >= kPartTokens / 2);
      CHECK(part.tokens() * parts.size() <= tokens + tokens / 8);
    }
    CHECK(sequence == lengths.size() && token == tokens);
  }
  CHECK(cut > 200);
  const std::vector<size_t> even(8, 128), one(1, 1024), uneven = {900, 100};
  CHECK(parts_for(even, 1024, 2).size() == 4);
  CHECK(parts_for(even, 1024, 1).size() == 4);
  CHECK(parts_for(std::vector<size_t>(2, 128), 256, 1).empty());
  CHECK(parts_for(one, 1024, 2).empty());
  CHECK(parts_for(uneven, 1000, 2).empty());
  CHECK(parts_for(std::vector<size_t>(2, 63), 126, 2).empty());
}

// Sequences that several threads take through a pass are those of one thread.
void test_parts_on_threads() {
  Pass pass;
  const std::vector<size_t> lengths = {1, 1};
  std::vector<float> summed(8);
  CHECK(pass.program.finish(pass.embedded.data()));
  Pass pooled;
  pooled.program.add({.in = {pooled.embedded.data()},
                      .lengths = lengths,
                      .out = summed.data(),
                      .width = 4,
                      .pooled = true},
                     [](const Frame& f) {
                       size_t t = 0;
                       for (size_t s = 0; s < f.lengths.size(); ++s) {
                         std::fill_n(f.out + s * 4, 4, 0.0f);
                         for (size_t last = t + f.lengths[s]; t < last; ++t)
                           for (size_t i = 0; i < 4; ++i) f.out[s * 4 + i] += f.in[0][t * 4 + i];
                       }
                     });
  CHECK(pooled.program.finish(summed.data()));
  Random random(9);
  std::vector<size_t> many(50);
  for (size_t& length : many) length = 5 + random.next() % 20;
  std::vector<int64_t> ids(std::accumulate(many.begin(), many.end(), size_t{0}));
  for (int64_t& id : ids) id = static_cast<int64_t>(random.next() % 5);
  for (const size_t threads : {2, 3, 4}) {
    CHECK(!parts_for(many, ids.size(), threads).empty());
    CHECK(run(pass.program, ids, many, threads) == run(pass.program, ids, many));
    CHECK(run(pooled.program, ids, many, threads) == run(pooled.program, ids, many));
  }
}

// Arrays too large for a context to keep: a thread's parts share memory of the pass, which grows.
void test_large_arrays_of_parts() {
  constexpr size_t kWide = 4096;
  Pass pass;
  std::vector<float> wide(2 * kWide), out(8);
  pass.program.add({.in = {pass.embedded.data()}, .out = wide.data(), .width = kWide},
                   [](const Frame& f) {
                     for (size_t i = 0; i < f.rows * kWide; ++i)
                       f.out[i] = f.in[0][i / kWide * 4] + static_cast<float>(i % kWide);
                   });
  pass.program.add({.in = {wide.data()}, .out = out.data(), .width = 4}, [](const Frame& f) {
    for (size_t i = 0; i < f.rows * 4; ++i) f.out[i] = f.in[0][i / 4 * kWide + i % 4 * 1365];
  });
  CHECK(pass.program.finish(out.data()));
  const std::vector<size_t> lengths = {150, 225, 225, 200, 200, 200};
  std::vector<int64_t> ids(1200);
  for (size_t t = 0; t < ids.size(); ++t) ids[t] = static_cast<int64_t>(t % 5);
  for (const size_t threads : {1, 2}) {
    const auto parts = parts_for(lengths, ids.size(), threads);
    CHECK(parts.size() > threads && parts[0].tokens() * 5 / 4 < parts[1].tokens());
    const std::vector<float> found = run(pass.program, ids, lengths, threads);
    for (size_t i = 0; i < found.size(); ++i)
      CHECK(found[i] == static_cast<float>(ids[i / 4] * 10) + static_cast<float>(i % 4 * 1365));
  }
}

// An operation that fails on any thread fails the pass, once all threads are done with it.
void test_errors_reach_the_caller() {
  Pass pass;
  std::vector<float> out(8);
  pass.program.add({.in = {pass.embedded.data()}, .out = out.data(), .width = 4},
                   [](const Frame& f) {
                     for (size_t t = 0; t < f.rows; ++t)
                       if (f.in[0][t * 4] == 40) throw std::bad_alloc();
                     std::copy_n(f.in[0], f.rows * 4, f.out);
                   });
  CHECK(pass.program.finish(out.data()));
  const std::vector<size_t> lengths(40, 20);
  for (const size_t at : {0, 399, 799}) {  // in a part of either thread
    std::vector<int64_t> ids(800, 1);
    ids[at] = 4;
    bool failed = false;
    try {
      run(pass.program, ids, lengths, 2);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    CHECK(failed);
    ids[at] = 1;
    CHECK(run(pass.program, ids, lengths, 2) == run(pass.program, ids, lengths));
  }
}

void test_ids_have_limits() {
  Pass pass;
  CHECK(pass.program.finish(pass.embedded.data()));
  const std::vector<size_t> lengths = {1};
  for (const int64_t id : {int64_t{-1}, int64_t{5}, INT64_MAX, INT64_MIN}) {
    const std::vector<int64_t> ids = {id};
    const std::vector<std::span<const int64_t>> numbers = {ids};
    CHECK(!pass.program.fits({numbers, lengths, {}}));
  }
  const std::vector<int64_t> ids = {4};
  const std::vector<std::span<const int64_t>> numbers = {ids};
  CHECK(pass.program.fits({numbers, lengths, {}}));
}

void test_what_does_not_belong() {
  std::vector<float> strange(8), out(8);
  const std::vector<int64_t> other = {1, 2};
  const std::vector<size_t> lengths = {2};
  const auto refused = [&](const Program::Step& step) {
    Pass pass;
    pass.program.add(step, kNothing);
    return !pass.program.finish(out.data());
  };
  CHECK(refused({.in = {strange.data()}, .out = out.data(), .width = 4}));
  CHECK(refused({.ids = {other.data()}, .id_limits = {5}, .out = out.data(), .width = 4}));
  Pass pass;
  pass.program.add(
      {.in = {pass.embedded.data()}, .lengths = lengths, .out = out.data(), .width = 4}, kNothing);
  CHECK(!pass.program.finish(out.data()));  // lengths of another pass
  Pass early;
  early.program.add({.in = {early.embedded.data()}, .out = out.data(), .width = 4}, kNothing);
  CHECK(!early.program.finish(early.embedded.data()));  // not the last operation's
  Program empty({other.data()}, {1, 1});
  CHECK(!empty.finish(out.data()));
}

}  // namespace

int main() {
  test_buffers_outlive_their_last_reader();
  test_pooled_rows();
  test_parts();
  test_parts_on_threads();
  test_large_arrays_of_parts();
  test_errors_reach_the_caller();
  test_ids_have_limits();
  test_what_does_not_belong();
  return report("program");
}

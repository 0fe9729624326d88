// A pass through a model, written down while it runs: the same operations on the same weights, run
// again for other tokens with nobody between them. What a model is made of is said in Python alone;
// a program knows nothing but what it has seen of one pass.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "ops.hpp"
#include "pass_parts.hpp"

namespace lapwing {

// What a pass is about: numbers of each token (ids, positions, …), and whose tokens they are.
struct PassInputs {
  std::span<const std::span<const int64_t>> numbers;  // each [T]
  std::span<const size_t> lengths;                    // of the sequences; T together
  std::span<KVCache* const> caches;                   // of the sequences, where any are
};

// What one operation works on.
struct Frame {
  Context& context;
  size_t rows = 0;                                // of in[0], or T
  std::array<const float*, 3> in{};               // null: the operation has no such input
  std::array<std::span<const int64_t>, 4> ids{};  // of an embedding's tables
  std::span<const size_t> lengths{};
  std::span<KVCache* const> caches{};
  float* out = nullptr;
};
using Operation = std::function<void(const Frame&)>;

class Program {
 public:
  // numbers, lengths: of the pass that is about to run. Arrays are told apart by where they lie, so
  // none may be freed before `finish`.
  Program(std::vector<const int64_t*> numbers, std::vector<size_t> lengths);

  // As an operation sees it.
  struct Step {
    std::array<const float*, 3> in{};
    std::array<const int64_t*, 4> ids{};
    std::array<size_t, 4> id_limits{};  // rows of the tables
    std::span<const size_t> lengths{};  // empty: it asks for none
    const float* out = nullptr;
    size_t width = 0;     // of out
    bool pooled = false;  // a row of out is a sequence, not a token
  };
  void add(const Step& step, Operation operation);
  // The pass is over. False if it cannot be run again: it used an array of unknown origin, or its
  // result is not that of the last operation.
  bool finish(const float* result);

  size_t width() const { return slots_[result_].width; }
  size_t rows(const PassInputs& inputs) const;
  size_t numbers() const { return limits_.size(); }  // of each token
  size_t operations() const { return operations_.size(); }
  // False for ids beyond a table: nothing has been done then.
  bool fits(const PassInputs& inputs) const;
  // out [rows, width]. Sequences without caches are shared out to the threads, where that is even.
  void run(Context& context, const PassInputs& inputs, float* out);

 private:
  static constexpr size_t kNone = SIZE_MAX;
  struct Slot {  // an array of the pass
    size_t width;
    bool pooled;
    size_t buffer = kNone, last_use = 0;
  };
  struct Recorded {
    Operation call;
    std::array<size_t, 3> in;
    std::array<size_t, 4> ids;
    size_t out;
  };
  void assign_buffers();
  // `memory`: for arrays larger than what the context keeps, grown to hold them.
  void run_part(Context& context, const PassPart& part, const PassInputs& inputs, Region& memory,
                float* out);
  void run_operations(Context& context, const PassInputs& inputs, Region& memory, float* out);

  std::vector<const int64_t*> numbers_;
  std::vector<size_t> lengths_;
  std::vector<size_t> limits_;  // of each of the numbers
  std::unordered_map<const float*, size_t> known_;
  bool broken_ = false;

  std::vector<Slot> slots_;
  std::vector<Recorded> operations_;
  std::vector<size_t> buffer_widths_;
  size_t result_ = kNone;
};

}  // namespace lapwing

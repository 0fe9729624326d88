#include "program.hpp"

#include <algorithm>
#include <exception>

namespace lapwing {

Program::Program(std::vector<const int64_t*> numbers, std::vector<size_t> lengths)
    : numbers_(std::move(numbers)),
      lengths_(std::move(lengths)),
      limits_(numbers_.size(), SIZE_MAX) {}

void Program::add(const Step& step, Operation operation) {
  Recorded recorded{std::move(operation), {kNone, kNone, kNone}, {kNone, kNone, kNone, kNone}, 0};
  for (size_t i = 0; i < step.in.size(); ++i) {
    if (step.in[i] == nullptr) continue;
    const auto found = known_.find(step.in[i]);
    broken_ |= found == known_.end();
    if (broken_) return;
    recorded.in[i] = found->second;
    slots_[found->second].last_use = operations_.size();
  }
  for (size_t i = 0; i < step.ids.size(); ++i) {
    if (step.ids[i] == nullptr) continue;
    const auto found = std::find(numbers_.begin(), numbers_.end(), step.ids[i]);
    broken_ |= found == numbers_.end();
    if (broken_) return;
    const auto number = static_cast<size_t>(found - numbers_.begin());
    recorded.ids[i] = number;
    limits_[number] = std::min(limits_[number], step.id_limits[i]);
  }
  broken_ |= !step.lengths.empty() && !std::ranges::equal(step.lengths, lengths_);
  if (broken_) return;
  const auto [at, is_new] = known_.try_emplace(step.out, slots_.size());
  if (is_new) {  // otherwise the operation works in place
    const bool of_sequences =
        step.pooled || (recorded.in[0] != kNone && slots_[recorded.in[0]].pooled);
    slots_.push_back({step.width, of_sequences, kNone, operations_.size()});
  }
  recorded.out = at->second;
  operations_.push_back(std::move(recorded));
}

bool Program::finish(const float* result) {
  const auto found = known_.find(result);
  if (broken_ || found == known_.end() || operations_.back().out != found->second) return false;
  result_ = found->second;
  known_.clear();
  numbers_.clear();
  assign_buffers();
  return true;
}

// An array's memory is another's as soon as the last operation that reads it has run.
void Program::assign_buffers() {
  std::vector<size_t> free;
  for (size_t i = 0; i < operations_.size(); ++i) {
    const Recorded& operation = operations_[i];
    Slot& out = slots_[operation.out];
    if (operation.out != result_ && out.buffer == kNone) {
      if (free.empty()) {
        free.push_back(buffer_widths_.size());
        buffer_widths_.push_back(0);
      }
      // The one that has to grow the least.
      const auto growth = [&](size_t buffer) {
        const size_t width = buffer_widths_[buffer];
        return width >= out.width ? width - out.width : SIZE_MAX / 2 - width;
      };
      const auto best = std::ranges::min_element(free, {}, growth);
      out.buffer = *best;
      free.erase(best);
      buffer_widths_[out.buffer] = std::max(buffer_widths_[out.buffer], out.width);
    }
    for (size_t slot = 0; slot < slots_.size(); ++slot)
      if (slots_[slot].buffer != kNone && slots_[slot].last_use == i && slot != result_)
        free.push_back(slots_[slot].buffer);
  }
}

size_t Program::rows(const PassInputs& inputs) const {
  return slots_[result_].pooled ? inputs.lengths.size() : inputs.numbers[0].size();
}

bool Program::fits(const PassInputs& inputs) const {
  for (size_t i = 0; i < limits_.size(); ++i)
    for (const int64_t number : inputs.numbers[i])
      if (number < 0 || static_cast<uint64_t>(number) >= limits_[i]) return false;
  return true;
}

void Program::run(Context& context, const PassInputs& inputs, float* out) {
  std::vector<PassPart> parts;
  if (inputs.caches.empty())
    parts = parts_for(inputs.lengths, inputs.numbers[0].size(), context.pool.threads());
  if (parts.empty()) {
    Region memory;
    return run_operations(context, inputs, memory, out);
  }
  context.prepare_lanes();
  // A thread's parts follow one another in the same memory: pages are made once a pass.
  std::vector<Region> memory(context.pool.threads());
  // No error may leave a thread of the pool: a part needs memory of its own, and may get none.
  std::vector<std::exception_ptr> errors(parts.size());
  context.pool.run(parts.size(), [&](size_t piece, size_t worker) {
    try {
      run_part(context.lane(worker), parts[piece], inputs, memory[worker], out);
    } catch (...) {
      errors[piece] = std::current_exception();
    }
  });
  for (const std::exception_ptr& error : errors)
    if (error != nullptr) std::rethrow_exception(error);
}

void Program::run_part(Context& context, const PassPart& part, const PassInputs& inputs,
                       Region& memory, float* out) {
  std::vector<std::span<const int64_t>> numbers;
  for (const auto& each : inputs.numbers)
    numbers.push_back(each.subspan(part.first_token, part.tokens()));
  const size_t sequences = part.last_sequence - part.first_sequence;
  const PassInputs own{numbers, inputs.lengths.subspan(part.first_sequence, sequences), {}};
  const size_t row = slots_[result_].pooled ? part.first_sequence : part.first_token;
  run_operations(context, own, memory, out + row * width());
}

void Program::run_operations(Context& context, const PassInputs& inputs, Region& memory,
                             float* out) {
  const size_t T = inputs.numbers[0].size(), most = std::max(T, inputs.lengths.size());
  constexpr size_t kLine = 64 / sizeof(float);
  std::vector<size_t> offsets;
  size_t total = 0;
  for (const size_t width : buffer_widths_) {
    offsets.push_back(total);
    total += ceil_div(width * most, kLine) * kLine;
  }
  // What a token needs is kept for the next one; a prompt's activations go back to the system.
  constexpr size_t kKept = (1 << 19) / sizeof(float);
  if (total > kKept) grow(memory, total * sizeof(float));
  float* arrays = total > kKept ? reinterpret_cast<float*>(memory.data()) : context.arena(total);
  const auto place = [&](size_t slot) {
    return slot == result_ ? out : arrays + offsets[slots_[slot].buffer];
  };
  for (const Recorded& operation : operations_) {
    Frame frame{.context = context, .lengths = inputs.lengths, .caches = inputs.caches};
    const size_t first = operation.in[0];
    frame.rows = first != kNone && slots_[first].pooled ? inputs.lengths.size() : T;
    for (size_t i = 0; i < frame.in.size(); ++i)
      if (operation.in[i] != kNone) frame.in[i] = place(operation.in[i]);
    for (size_t i = 0; i < frame.ids.size(); ++i)
      if (operation.ids[i] != kNone) frame.ids[i] = inputs.numbers[operation.ids[i]];
    frame.out = place(operation.out);
    operation.call(frame);
  }
}

}  // namespace lapwing

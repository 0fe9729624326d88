#include "bindings/recording.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

using namespace nanobind::literals;

namespace lapwing {
namespace {

// What caches must agree on to stand in for one another.
struct CacheKind {
  size_t layers, kv_heads, head_dim;
  DType dtype;
  bool operator==(const CacheKind&) const = default;
  static CacheKind of(const KVCache& cache) {
    return {cache.layers(), cache.kv_heads(), cache.head_dim(), cache.dtype()};
  }
};

// A pass that can be run again for other tokens; holds on to the weights it reads.
class RecordedPass {
 public:
  RecordedPass(Program program, Kept kept, std::optional<CacheKind> caches)
      : program_(std::move(program)), kept_(std::move(kept)), caches_(caches) {}

  // None where the pass does not hold for these: a sequence longer than its cache or a table.
  template <class Numbers>  // lists, or arrays
  std::optional<NewMatrix> run(Context& context, const std::vector<Numbers>& numbers,
                               const std::vector<size_t>& lengths,
                               const std::vector<KVCache*>& caches) {
    check("numbers of a token", program_.numbers(), numbers.size());
    if (numbers.empty()) throw std::invalid_argument("a pass needs the ids of its tokens");
    const size_t T = numbers[0].size();
    size_t rest = T;
    for (const size_t length : lengths) {
      if (length == 0) return std::nullopt;
      if (length > rest) mismatch("numbers, one a token: at least", T - rest + length, T);
      rest -= length;
    }
    check("numbers, one a token", T - rest, T);
    std::vector<std::span<const int64_t>> spans;
    for (const auto& each : numbers) {
      check("numbers, one a token", T, each.size());
      spans.emplace_back(each.data(), each.size());
    }
    const PassInputs inputs{spans, lengths, caches};
    if (T == 0 || !room(lengths, caches) || !program_.fits(inputs)) return std::nullopt;
    NewMatrix out = new_matrix(program_.rows(inputs), program_.width());
    nb::gil_scoped_release release;
    const auto lock = context.begin(T);
    program_.run(context, inputs, out.data());
    return out;
  }

  size_t operations() const { return program_.operations(); }

 private:
  bool room(const std::vector<size_t>& lengths, const std::vector<KVCache*>& caches) const {
    if (!caches_) return caches.empty();
    if (caches.size() != lengths.size()) return false;
    for (size_t i = 0; i < caches.size(); ++i) {
      const KVCache& cache = *caches[i];
      if (CacheKind::of(cache) != *caches_ || lengths[i] > cache.capacity() - cache.length() ||
          std::count(caches.begin(), caches.end(), caches[i]) != 1)
        return false;
    }
    return true;
  }

  Program program_;
  Kept kept_;
  std::optional<CacheKind> caches_;
};

// From `begin` to `end` the operations that this thread calls are written down.
class Recording {
 public:
  Recording(std::vector<IdVector> numbers, std::vector<size_t> lengths)
      : numbers_(std::move(numbers)), program_(pointers(numbers_), std::move(lengths)) {}

  static thread_local Recording* current;
  void begin() { current = this; }
  void end() { current = nullptr; }

  void add(const Program::Step& step, Operation operation, std::span<KVCache* const> caches,
           NewMatrix out, Kept kept) {
    arrays_.push_back(std::move(out));
    std::ranges::move(kept.weights, std::back_inserter(kept_.weights));
    std::ranges::move(kept.vectors, std::back_inserter(kept_.vectors));
    if (!caches.empty()) caches_ = CacheKind::of(*caches[0]);
    program_.add(step, std::move(operation));
  }

  std::optional<RecordedPass*> finish(const FloatMatrix& result) {
    const bool whole = program_.finish(result.data());
    arrays_.clear();
    if (!whole) return std::nullopt;
    return new RecordedPass(std::move(program_), std::move(kept_), caches_);
  }

 private:
  static std::vector<const int64_t*> pointers(const std::vector<IdVector>& numbers) {
    std::vector<const int64_t*> result;
    for (const IdVector& each : numbers) result.push_back(each.data());
    return result;
  }

  std::vector<IdVector> numbers_;
  Program program_;
  std::vector<NewMatrix> arrays_;  // none may be freed, and its place taken, before the end
  Kept kept_;
  std::optional<CacheKind> caches_;
};
thread_local Recording* Recording::current = nullptr;

}  // namespace

void execute(Context& context, const Program::Step& step, size_t rows,
             std::span<KVCache* const> caches, NewMatrix out, Kept kept, Operation operation) {
  Frame frame{.context = context,
              .rows = rows,
              .in = step.in,
              .lengths = step.lengths,
              .caches = caches,
              .out = out.data()};
  for (size_t i = 0; i < frame.ids.size() && step.ids[i] != nullptr; ++i)
    frame.ids[i] = {step.ids[i], rows};
  if (Recording* recording = Recording::current)
    recording->add(step, operation, caches, std::move(out), std::move(kept));
  nb::gil_scoped_release release;
  const auto lock = context.begin(rows);
  operation(frame);
}

void bind_recording(nb::module_& m) {
  nb::class_<RecordedPass>(m, "RecordedPass", "A pass to be run again for other tokens.")
      .def("run", &RecordedPass::run<std::vector<int64_t>>, "context"_a, "numbers"_a, "lengths"_a,
           "caches"_a,
           "The result; None where it does not hold for these tokens, and nothing was done.")
      .def("run", &RecordedPass::run<IdVector>, "context"_a, "numbers"_a, "lengths"_a, "caches"_a)
      .def_prop_ro("operations", &RecordedPass::operations);
  nb::class_<Recording>(m, "Recording", "Writes down the operations of one pass of this thread.")
      .def(nb::init<std::vector<IdVector>, std::vector<size_t>>(), "numbers"_a, "lengths"_a)
      .def("begin", &Recording::begin)
      .def("end", &Recording::end)
      .def("finish", &Recording::finish, "result"_a,
           "The pass; None if it read an array that came from elsewhere.");
}

}  // namespace lapwing

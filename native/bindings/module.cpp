// The Python module. Every function checks what it is given, lets go of Python's lock, takes the
// context's and calls the core; only this folder knows Python.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/operations.hpp"
#include "bindings/recording.hpp"
#include "bindings/storage.hpp"
#include "cpu_isa.hpp"
#include "ops.hpp"

using namespace nanobind::literals;

NB_MODULE(_native, m) {
  using namespace lapwing;
  m.attr("build_flags") = LAPWING_BUILD_FLAGS;
  m.doc() = "Compiled core: planes, fused operations, KV cache, thread pool.";

  m.def("available_isas", &available_isas,
        "Instruction sets with kernels that run here, best first.");

  nb::class_<Context>(m, "Context", "Threads, kernels and scratch memory of one loaded model.")
      .def(nb::init<size_t, const std::string&>(), "threads"_a, "isa"_a = "auto")
      .def_prop_ro("isa", [](const Context& c) { return std::string(c.kernels.name); })
      .def_prop_rw(
          "threads", &Context::threads,
          [](Context& c, size_t threads) {
            const nb::gil_scoped_release release;
            c.set_threads(threads, threads);
          },
          "Of passes of a few tokens; setting it sets both.")
      .def_prop_rw(
          "prefill_threads", &Context::prefill_threads,
          [](Context& c, size_t threads) {
            const nb::gil_scoped_release release;
            c.set_threads(c.threads(), threads);
          },
          "Of passes of more tokens.")
      .def_prop_rw(
          "narrow_codes", [](const Context& c) { return c.code_range == CodeRange::narrow; },
          [](Context& c, bool narrow) {
            c.code_range = narrow ? CodeRange::narrow : CodeRange::full;
          },
          "Int8 reads multiply activations of fewer steps (see CodeRange).");

  nb::class_<Dense>(m, "Dense", "A float matrix used where it lies: f32, f16 or bf16.")
      .def(nb::init<Bytes, const std::string&, const std::string&, size_t, size_t>(), "data"_a,
           "dtype"_a, "layout"_a, "N"_a, "K"_a)
      .def_prop_ro("N", [](const Dense& d) { return d.view.N; })
      .def_prop_ro("K", [](const Dense& d) { return d.view.K; })
      .def(
          "first_nonfinite",
          [](const Dense& d, Context& context) {
            nb::gil_scoped_release release;
            const auto lock = context.begin();
            return first_nonfinite(context.pool, d.view.dtype, d.view.data, d.view.N * d.view.K);
          },
          "context"_a);

  bind_storage(m);
  bind_operations(m);
  bind_recording(m);

  nb::class_<KVCache>(m, "KVCache", "Keys and values of one sequence, all layers.")
      .def(
          "__init__",
          [](KVCache* self, size_t layers, size_t kv_heads, size_t head_dim, size_t capacity,
             const std::string& dtype, const std::vector<size_t>& windows) {
            new (self) KVCache(layers, kv_heads, head_dim, capacity, parse_dtype(dtype), windows);
          },
          "layers"_a, "kv_heads"_a, "head_dim"_a, "capacity"_a, "dtype"_a,
          "windows"_a = std::vector<size_t>())
      .def_prop_ro("length", &KVCache::length)
      .def_prop_ro("capacity", &KVCache::capacity)
      .def_prop_ro("nbytes", &KVCache::used_bytes)
      .def_prop_ro("shortest", &KVCache::shortest)
      .def("truncate", &KVCache::truncate, "length"_a)
      .def("advance", &KVCache::advance, "count"_a)
      .def("fork", &KVCache::fork);
}

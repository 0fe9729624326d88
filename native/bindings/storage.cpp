#include "bindings/storage.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "bindings/arguments.hpp"
#include "crc32c.hpp"
#include "encode.hpp"
#include "ops.hpp"
#include "read_ahead.hpp"

using namespace nanobind::literals;

namespace lapwing {
namespace {

// A Planes* is handed over to Python, which owns it from then on.
std::variant<Planes*, BadWeight> encode_planes(Context& context, const Dense& weights,
                                               bool refine) {
  auto planes = std::make_unique<Planes>(weights.view.N, weights.view.K, refine);
  std::optional<BadWeight> bad;
  {
    nb::gil_scoped_release release;
    const auto lock = context.begin();
    bad = encode(context.pool, context.kernels, weights.view, *planes);
  }
  if (bad) return *bad;
  return planes.release();
}

NewMatrix decode(const Planes& planes, const std::string& precision) {
  const Precision read = parse_precision(precision);
  const PlaneView view = readable(planes, read);
  NewMatrix out = new_matrix(view.N, view.K);
  for (size_t n = 0; n < view.N; ++n) decode_row(view, read, n, out.data() + n * view.K);
  return out;
}

}  // namespace

void bind_storage(nb::module_& m) {
  nb::class_<BadWeight>(m, "BadWeight", "Where a weight is that no plane can hold.")
      .def_ro("row", &BadWeight::row)
      .def_ro("column", &BadWeight::column)
      .def_ro("value", &BadWeight::value);

  using ConstBytes = nb::ndarray<nb::numpy, const uint8_t, nb::ndim<1>>;
  using ConstFloats = nb::ndarray<nb::numpy, const float, nb::ndim<2>>;
  nb::class_<Planes>(m, "Planes", "A quantized matrix: base plane, and refine plane if kept.")
      .def_prop_ro("N", [](const Planes& p) { return p.view().N; })
      .def_prop_ro("K", [](const Planes& p) { return p.view().K; })
      .def_prop_ro("has_refine", &Planes::has_refine)
      .def_prop_ro("base",
                   [](nb::handle_t<Planes> self) {
                     const auto& p = nb::cast<const Planes&>(self);
                     return ConstBytes(p.view().base, {p.base_bytes()}, self);
                   })
      .def_prop_ro("refine",
                   [](nb::handle_t<Planes> self) {
                     const auto& p = nb::cast<const Planes&>(self);
                     return ConstBytes(p.view().refine, {p.refine_bytes()}, self);
                   })
      .def_prop_ro("factors",
                   [](nb::handle_t<Planes> self) {
                     const auto& p = nb::cast<const Planes&>(self);
                     return ConstFloats(p.view().factors, {row_group_count(p.view().N), size_t{2}},
                                        self);
                   })
      .def("decode", &decode, "precision"_a, "The matrix [N, K] as int4 or int8 reads it.");
  nb::class_<KeptPlanes, Planes>(m, "KeptPlanes", "Planes used where they lie.")
      .def(nb::init<size_t, size_t, Bytes, Bytes, std::optional<Bytes>>(), "N"_a, "K"_a, "base"_a,
           "factors"_a, "refine"_a.none());

  m.def(
      "crc32c",
      [](const Bytes& data, uint32_t value) {
        nb::gil_scoped_release release;
        return crc32c(value, data.data(), data.size());
      },
      "data"_a, "value"_a = 0, "CRC-32C of bytes that follow those `value` is of.");
  nb::class_<ReadAhead>(m, "ReadAhead", "Reads spans of a file in a thread without Python's lock.")
      .def(
          "__init__",
          [](ReadAhead* self, int fd, const std::vector<std::pair<uint64_t, uint64_t>>& spans) {
            std::vector<ReadAhead::Span> plain;
            for (const auto& [begin, end] : spans) plain.push_back({begin, end});
            new (self) ReadAhead(fd, std::move(plain));
          },
          "fd"_a, "spans"_a, "spans: (begin, end) in the order of reading.")
      .def(
          "wait",
          [](ReadAhead& self, size_t span,
             double at_most_s) -> std::optional<std::tuple<uint64_t, uint32_t, int>> {
            nb::gil_scoped_release release;
            const auto result = self.wait(span, std::chrono::duration<double>(at_most_s));
            if (!result) return std::nullopt;
            return std::make_tuple(result->nbytes, result->crc, result->error);
          },
          "span"_a, "at_most_s"_a,
          "Bytes read, their CRC-32C and errno, once a span has been read; None before that.")
      .def_prop_ro("done_bytes", &ReadAhead::done_bytes)
      .def("stop", &ReadAhead::stop);

  m.def("encode", &encode_planes, "context"_a, "weights"_a, "refine"_a,
        "Quantizes a float matrix; a weight that is not finite or above 1e18 is returned instead.");
}

}  // namespace lapwing

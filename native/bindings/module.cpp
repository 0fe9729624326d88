// The Python module: every function checks what it is given, releases the GIL, takes the context's
// lock and calls ops.hpp. Only this folder knows Python. Weights as they are kept: storage.cpp.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/storage.hpp"
#include "cpu_isa.hpp"
#include "ops.hpp"

using namespace nanobind::literals;

namespace lapwing {
namespace {

NewMatrix linear_dense(Context& context, const std::vector<const Dense*>& w, const FloatMatrix& x,
                       const Biases& biases, const std::optional<std::string>& activation,
                       const std::optional<FloatMatrix>& residual) {
  std::vector<DenseView> views;
  for (const Dense* matrix : w) views.push_back(matrix->view);
  const Joined<DenseView> joined(std::move(views), biases, x, activation, residual);
  NewMatrix out = new_matrix(joined.T, joined.epilogue.stride);
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  linear(context, joined.parts, x.data(), joined.T, joined.epilogue, out.data());
  return out;
}

NewMatrix linear_planes(Context& context, const std::vector<const Planes*>& w, const FloatMatrix& x,
                        const std::string& precision, const Biases& biases,
                        const std::optional<std::string>& activation,
                        const std::optional<FloatMatrix>& residual) {
  const Precision read = parse_precision(precision);
  std::vector<PlaneView> views;
  for (const Planes* matrix : w) views.push_back(readable(*matrix, read));
  const Joined<PlaneView> joined(std::move(views), biases, x, activation, residual);
  NewMatrix out = new_matrix(joined.T, joined.epilogue.stride);
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  linear(context, joined.parts, read, x.data(), joined.T, joined.epilogue, out.data());
  return out;
}

NewMatrix gated_dense(Context& context, const std::vector<const Dense*>& w, const FloatMatrix& x,
                      const Biases& biases, const std::optional<std::string>& activation) {
  std::vector<DenseView> views;
  for (const Dense* matrix : w) views.push_back(matrix->view);
  const Joined<DenseView> joined(std::move(views), biases, x, activation, {});
  check("outputs of gate and up, an even number", joined.epilogue.stride / 2 * 2,
        joined.epilogue.stride);
  NewMatrix out = new_matrix(joined.T, joined.epilogue.stride / 2);
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  gated_linear(context, joined.parts, x.data(), joined.T, joined.epilogue.activation, out.data());
  return out;
}

NewMatrix gated_planes(Context& context, const std::vector<const Planes*>& w, const FloatMatrix& x,
                       const std::string& precision, const Biases& biases,
                       const std::optional<std::string>& activation) {
  const Precision read = parse_precision(precision);
  std::vector<PlaneView> views;
  for (const Planes* matrix : w) views.push_back(readable(*matrix, read));
  const Joined<PlaneView> joined(std::move(views), biases, x, activation, {});
  check("outputs of gate and up, an even number", joined.epilogue.stride / 2 * 2,
        joined.epilogue.stride);
  NewMatrix out = new_matrix(joined.T, joined.epilogue.stride / 2);
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  gated_linear(context, joined.parts, read, x.data(), joined.T, joined.epilogue.activation,
               out.data());
  return out;
}

void check_ids(const IdVector& ids, size_t rows) {
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids.data()[i] < 0 || static_cast<size_t>(ids.data()[i]) >= rows)
      throw std::out_of_range("id " + std::to_string(ids.data()[i]) + " is outside [0, " +
                              std::to_string(rows) + ")");
}

NewMatrix embed_rows(Context& context,
                     const std::vector<std::variant<const Dense*, const Planes*>>& tables,
                     const std::vector<IdVector>& ids, float scale) {
  if (tables.empty()) throw std::invalid_argument("an embedding needs a table");
  check("ids, one list a table", tables.size(), ids.size());
  const size_t T = ids[0].size();
  size_t D = 0;
  std::vector<Lookup> lookups;
  for (size_t i = 0; i < tables.size(); ++i) {
    Lookup lookup{{}, {ids[i].data(), ids[i].size()}};
    size_t rows = 0, columns = 0;
    if (const auto* dense = std::get_if<const Dense*>(&tables[i])) {
      lookup.table = (*dense)->view;
      rows = (*dense)->view.N, columns = (*dense)->view.K;
    } else {
      const PlaneView view = std::get<const Planes*>(tables[i])->view();
      lookup.table = view;
      rows = view.N, columns = view.K;
    }
    if (i == 0) D = columns;
    check("ids of every table", T, ids[i].size());
    check("columns of every table", D, columns);
    check_ids(ids[i], rows);
    lookups.push_back(lookup);
  }
  NewMatrix out = new_matrix(T, D);
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  embed(context, lookups, T, D, scale, out.data());
  return out;
}

NewMatrix norm(Context& context, const FloatMatrix& x, const FloatVector& weight,
               const FloatVector& bias, float eps) {
  const size_t T = x.shape(0), D = x.shape(1);
  check("weight", D, weight.shape(0));
  check("bias", D, bias.shape(0));
  NewMatrix out = new_matrix(T, D);
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  layer_norm(context, x.data(), T, D, weight.data(), bias.data(), eps, out.data());
  return out;
}

NewMatrix root_mean_square_norm(Context& context, const FloatMatrix& x, const FloatVector& weight,
                                float eps, const std::optional<FloatMatrix>& residual) {
  const size_t T = x.shape(0), D = x.shape(1);
  check("weight", D, weight.shape(0));
  if (residual) {
    check("residual rows", T, residual->shape(0));
    check("residual columns", D, residual->shape(1));
  }
  NewMatrix out = new_matrix(T, D);
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  rms_norm(context, x.data(), T, D, weight.data(), eps, residual ? residual->data() : nullptr,
           out.data());
  return out;
}

void cap_softly(Context& context, NewMatrix x, float cap) {
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  soft_cap(context, x.data(), x.shape(0) * x.shape(1), cap);
}

uint64_t sum(Context& context, const Bytes& data) {
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  return sum_words(context, reinterpret_cast<const uint64_t*>(data.data()), data.size() / 8);
}

// qkv [T, (H + 2·Hkv)·Dh]: queries, keys, values of packed sequences.
NewMatrix attend_causal(Context& context, const FloatMatrix& qkv,
                        const std::vector<KVCache*>& caches, const std::vector<size_t>& lengths,
                        size_t layer, size_t n_heads, float scale, float softcap,
                        const std::optional<FloatMatrix>& rotations,
                        const std::optional<FloatVector>& query_norm,
                        const std::optional<FloatVector>& key_norm, float norm_eps) {
  check("one length a cache", caches.size(), lengths.size());
  size_t T = 0;
  AttentionShape shape{.layer = layer,
                       .n_heads = n_heads,
                       .n_kv_heads = 0,
                       .head_dim = 0,
                       .scale = scale,
                       .softcap = softcap,
                       .norm_eps = norm_eps};
  for (size_t i = 0; i < caches.size(); ++i) {
    const KVCache& cache = *caches[i];
    for (size_t j = 0; j < i; ++j)
      if (caches[j] == caches[i])
        throw std::invalid_argument("the same KV cache stands twice in one batch");
    if (lengths[i] > cache.capacity() - cache.length())
      throw std::out_of_range("KV cache: " + std::to_string(cache.length()) + " + " +
                              std::to_string(lengths[i]) + " positions exceed its capacity of " +
                              std::to_string(cache.capacity()));
    if (layer >= cache.layers()) throw std::out_of_range("KV cache: no such layer");
    shape.n_kv_heads = cache.kv_heads();
    shape.head_dim = cache.head_dim();
    T += lengths[i];
  }
  check("rows of qkv", T, qkv.shape(0));
  if (caches.empty()) return new_matrix(0, 0);
  const size_t Dh = shape.head_dim;
  if (Dh > 512) mismatch("head_dim at most", 512, Dh);
  if (n_heads == 0 || n_heads % shape.n_kv_heads != 0)
    mismatch("heads as a multiple of key/value heads", shape.n_kv_heads, n_heads);
  const size_t q = n_heads * Dh, kv = shape.n_kv_heads * Dh;
  for (const KVCache* cache : caches)
    if (cache->kv_heads() * cache->head_dim() != kv || cache->head_dim() != Dh)
      mismatch("key/value width of every cache", kv, cache->kv_heads() * cache->head_dim());
  check("columns of qkv", q + 2 * kv, qkv.shape(1));
  if (rotations) {
    check("rows of the rotations", T, rotations->shape(0));
    if (rotations->shape(1) % 2 != 0 || rotations->shape(1) > Dh)
      throw std::invalid_argument("columns of the rotations: expected an even number up to " +
                                  std::to_string(Dh) + ", got " +
                                  std::to_string(rotations->shape(1)));
    shape.rotations = rotations->data();
    shape.half = rotations->shape(1) / 2;
  }
  if (query_norm.has_value() != key_norm.has_value())
    throw std::invalid_argument("norms of queries and keys come together");
  if (query_norm) {
    check("norm of queries", Dh, query_norm->shape(0));
    check("norm of keys", Dh, key_norm->shape(0));
    shape.query_norm = query_norm->data();
    shape.key_norm = key_norm->data();
  }
  NewMatrix out = new_matrix(T, q);
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  attend(context, shape, qkv.data(), caches, lengths, out.data());
  return out;
}

void check_rows(const std::vector<size_t>& lengths, size_t rows, size_t shortest) {
  size_t T = 0;
  for (const size_t length : lengths) {
    if (length < shortest) throw std::invalid_argument("a sequence is empty");
    if (length > rows - T) mismatch("rows, the sum of lengths", T + length, rows);
    T += length;
  }
  check("rows, the sum of lengths", T, rows);
}

// qkv [T, 3·H·Dh]: queries, keys, values of packed sequences.
NewMatrix attend_bidirectional(Context& context, const FloatMatrix& qkv,
                               const std::vector<size_t>& lengths, size_t n_heads, float scale) {
  check_rows(lengths, qkv.shape(0), 0);
  if (n_heads == 0 || qkv.shape(1) % (3 * n_heads) != 0)
    throw std::invalid_argument("columns of qkv: expected a multiple of 3·" +
                                std::to_string(n_heads) + ", got " + std::to_string(qkv.shape(1)));
  const size_t width = qkv.shape(1) / 3;
  NewMatrix out = new_matrix(qkv.shape(0), width);
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  attend_all(context, qkv.data(), n_heads, width / n_heads, scale, lengths, out.data());
  return out;
}

NewMatrix pool_rows(Context& context, const FloatMatrix& x, const std::vector<size_t>& lengths,
                    const std::string& pooling) {
  const Pooling mode = parse_pooling(pooling);
  check_rows(lengths, x.shape(0), 1);
  NewMatrix out = new_matrix(lengths.size(), x.shape(1));
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  pool(context, x.data(), x.shape(1), lengths, mode, out.data());
  return out;
}

NewMatrix normalize(Context& context, const FloatMatrix& x) {
  NewMatrix out = new_matrix(x.shape(0), x.shape(1));
  nb::gil_scoped_release release;
  const std::lock_guard lock(context.mutex);
  unit_length(context, x.data(), x.shape(0), x.shape(1), out.data());
  return out;
}

}  // namespace
}  // namespace lapwing

NB_MODULE(_native, m) {
  using namespace lapwing;
  m.doc() = "Compiled core: planes, fused operations, KV cache, thread pool.";

  m.def("available_isas", &available_isas,
        "Instruction sets with kernels that run here, best first.");

  nb::class_<Context>(m, "Context", "Threads, kernels and scratch memory of one loaded model.")
      .def(nb::init<size_t, const std::string&>(), "threads"_a, "isa"_a = "auto")
      .def_prop_ro("isa", [](const Context& c) { return std::string(c.kernels.name); })
      .def_prop_rw(
          "threads", [](const Context& c) { return c.pool.threads(); },
          [](Context& c, size_t threads) {
            nb::gil_scoped_release release;
            const std::lock_guard lock(c.mutex);
            c.pool.set_threads(threads);
          });

  nb::class_<Dense>(m, "Dense", "A float matrix used where it lies: f32, f16 or bf16.")
      .def(nb::init<Bytes, const std::string&, const std::string&, size_t, size_t>(), "data"_a,
           "dtype"_a, "layout"_a, "N"_a, "K"_a)
      .def_prop_ro("N", [](const Dense& d) { return d.view.N; })
      .def_prop_ro("K", [](const Dense& d) { return d.view.K; })
      .def(
          "first_nonfinite",
          [](const Dense& d, Context& context) {
            nb::gil_scoped_release release;
            const std::lock_guard lock(context.mutex);
            return first_nonfinite(context.pool, d.view.dtype, d.view.data, d.view.N * d.view.K);
          },
          "context"_a);

  bind_storage(m);

  m.def("linear_dense", &linear_dense, "context"_a, "w"_a, "x"_a, "biases"_a, "activation"_a.none(),
        "residual"_a.none(),
        "activation(x [T, K] · wᵀ + bias) + residual, matrices side by side → [T, ΣN]");
  m.def("linear_planes", &linear_planes, "context"_a, "w"_a, "x"_a, "precision"_a, "biases"_a,
        "activation"_a.none(), "residual"_a.none(),
        "activation(x [T, K] · wᵀ + bias) + residual, matrices side by side → [T, ΣN]");
  m.def("gated_dense", &gated_dense, "context"_a, "w"_a, "x"_a, "biases"_a, "activation"_a.none(),
        "activation(gate)·up, matrices side by side → [T, ΣN/2]");
  m.def("gated_planes", &gated_planes, "context"_a, "w"_a, "x"_a, "precision"_a, "biases"_a,
        "activation"_a.none(), "activation(gate)·up, matrices side by side → [T, ΣN/2]");
  m.def("embed", &embed_rows, "context"_a, "tables"_a, "ids"_a, "scale"_a = 1.0f,
        "scale·Σ table[ids] → [T, D]");
  m.def("rms_norm", &root_mean_square_norm, "context"_a, "x"_a, "weight"_a, "eps"_a,
        "residual"_a.none());
  m.def("soft_cap", &cap_softly, "context"_a, "x"_a, "cap"_a, "x = cap·tanh(x/cap), in place");
  m.def("layer_norm", &norm, "context"_a, "x"_a, "weight"_a, "bias"_a, "eps"_a);
  m.def("attend_causal", &attend_causal, "context"_a, "qkv"_a, "caches"_a, "lengths"_a, "layer"_a,
        "n_heads"_a, "scale"_a, "softcap"_a, "rotations"_a.none(), "query_norm"_a.none(),
        "key_norm"_a.none(), "norm_eps"_a,
        "Appends keys and values to the caches and attends to them as stored → [T, H·Dh]");

  m.def("attend_bidirectional", &attend_bidirectional, "context"_a, "qkv"_a, "lengths"_a,
        "n_heads"_a, "scale"_a, "Every token sees all of its own sequence → [T, H·Dh]");
  m.def("pool", &pool_rows, "context"_a, "x"_a, "lengths"_a, "pooling"_a,
        "The rows of each sequence become one → [sequences, D]");
  m.def("unit_length", &normalize, "context"_a, "x"_a, "Rows divided by their length");

  m.def("sum_words", &sum, "context"_a, "data"_a,
        "Sum of the 64-bit words of a byte array: reads it as fast as memory allows.");

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

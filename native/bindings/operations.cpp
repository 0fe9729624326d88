// The fused operations: arguments checked, then run or recorded.
#include "bindings/operations.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/recording.hpp"
#include "ops.hpp"

using namespace nanobind::literals;

namespace lapwing {
namespace {

// Matrices as views, all of them kept alive by `kept`.
std::vector<DenseView> views_of(const std::vector<const Dense*>& w, Kept& kept) {
  std::vector<DenseView> views;
  for (const Dense* matrix : w) {
    views.push_back(matrix->view);
    kept.matrix(matrix);
  }
  return views;
}
std::vector<PlaneView> views_of(const std::vector<const Planes*>& w, Precision precision,
                                Kept& kept) {
  std::vector<PlaneView> views;
  for (const Planes* matrix : w) {
    views.push_back(readable(*matrix, precision));
    kept.matrix(matrix);
  }
  return views;
}

// The epilogue of a frame: its residual is the second input.
Epilogue with_residual(Epilogue e, const Frame& f) {
  e.residual = f.in[1];
  return e;
}

NewMatrix linear_dense(Context& context, const std::vector<const Dense*>& w, const FloatMatrix& x,
                       const Biases& biases, const std::optional<std::string>& activation,
                       const std::optional<FloatMatrix>& residual) {
  Kept kept;
  Joined<DenseView> joined(views_of(w, kept), biases, x, activation, residual, kept);
  const Epilogue e = joined.epilogue;
  NewMatrix out = new_matrix(joined.T, e.stride);
  execute(context, {.in = {x.data(), e.residual}, .out = out.data(), .width = e.stride}, joined.T,
          {}, out, std::move(kept), [parts = std::move(joined.parts), e](const Frame& f) {
            linear(f.context, parts, f.in[0], f.rows, with_residual(e, f), f.out);
          });
  return out;
}

NewMatrix linear_planes(Context& context, const std::vector<const Planes*>& w, const FloatMatrix& x,
                        const std::string& precision, const Biases& biases,
                        const std::optional<std::string>& activation,
                        const std::optional<FloatMatrix>& residual) {
  const Precision read = parse_precision(precision);
  Kept kept;
  Joined<PlaneView> joined(views_of(w, read, kept), biases, x, activation, residual, kept);
  const Epilogue e = joined.epilogue;
  NewMatrix out = new_matrix(joined.T, e.stride);
  execute(context, {.in = {x.data(), e.residual}, .out = out.data(), .width = e.stride}, joined.T,
          {}, out, std::move(kept), [parts = std::move(joined.parts), read, e](const Frame& f) {
            linear(f.context, parts, read, f.in[0], f.rows, with_residual(e, f), f.out);
          });
  return out;
}

NewMatrix gated_dense(Context& context, const std::vector<const Dense*>& w, const FloatMatrix& x,
                      const Biases& biases, const std::optional<std::string>& activation) {
  Kept kept;
  Joined<DenseView> joined(views_of(w, kept), biases, x, activation, {}, kept);
  const auto [stride, act] = std::pair(joined.epilogue.stride, joined.epilogue.activation);
  check("outputs of gate and up, an even number", stride / 2 * 2, stride);
  NewMatrix out = new_matrix(joined.T, stride / 2);
  execute(context, {.in = {x.data()}, .out = out.data(), .width = stride / 2}, joined.T, {}, out,
          std::move(kept), [parts = std::move(joined.parts), act](const Frame& f) {
            gated_linear(f.context, parts, f.in[0], f.rows, act, f.out);
          });
  return out;
}

NewMatrix gated_planes(Context& context, const std::vector<const Planes*>& w, const FloatMatrix& x,
                       const std::string& precision, const Biases& biases,
                       const std::optional<std::string>& activation) {
  const Precision read = parse_precision(precision);
  Kept kept;
  Joined<PlaneView> joined(views_of(w, read, kept), biases, x, activation, {}, kept);
  const auto [stride, act] = std::pair(joined.epilogue.stride, joined.epilogue.activation);
  check("outputs of gate and up, an even number", stride / 2 * 2, stride);
  NewMatrix out = new_matrix(joined.T, stride / 2);
  execute(context, {.in = {x.data()}, .out = out.data(), .width = stride / 2}, joined.T, {}, out,
          std::move(kept), [parts = std::move(joined.parts), read, act](const Frame& f) {
            gated_linear(f.context, parts, read, f.in[0], f.rows, act, f.out);
          });
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
  Program::Step step;
  if (tables.empty() || tables.size() > step.ids.size())
    throw std::invalid_argument("an embedding needs one to four tables");
  check("ids, one list a table", tables.size(), ids.size());
  const size_t T = ids[0].size();
  Kept kept;
  std::vector<Table> held;
  for (size_t i = 0; i < tables.size(); ++i) {
    size_t rows = 0, columns = 0;
    if (const auto* dense = std::get_if<const Dense*>(&tables[i])) {
      const DenseView& view = (*dense)->view;
      held.emplace_back(view);
      kept.matrix(*dense);
      rows = view.N, columns = view.K;
    } else {
      const Planes* planes = std::get<const Planes*>(tables[i]);
      const PlaneView view = planes->view();
      held.emplace_back(view);
      kept.matrix(planes);
      rows = view.N, columns = view.K;
    }
    if (i == 0) step.width = columns;
    check("ids of every table", T, ids[i].size());
    check("columns of every table", step.width, columns);
    check_ids(ids[i], rows);
    step.ids[i] = ids[i].data();
    step.id_limits[i] = rows;
  }
  NewMatrix out = new_matrix(T, step.width);
  step.out = out.data();
  execute(context, step, T, {}, out, std::move(kept),
          [held = std::move(held), D = step.width, scale](const Frame& f) {
            std::array<Lookup, std::tuple_size_v<decltype(f.ids)>> lookups;
            for (size_t i = 0; i < held.size(); ++i) lookups[i] = {held[i], f.ids[i]};
            embed(f.context, {lookups.data(), held.size()}, f.rows, D, scale, f.out);
          });
  return out;
}

NewMatrix norm(Context& context, const FloatMatrix& x, const FloatVector& weight,
               const FloatVector& bias, float eps) {
  const size_t T = x.shape(0), D = x.shape(1);
  check("weight", D, weight.shape(0));
  check("bias", D, bias.shape(0));
  Kept kept;
  const float *w = kept.vector(weight), *b = kept.vector(bias);
  NewMatrix out = new_matrix(T, D);
  execute(context, {.in = {x.data()}, .out = out.data(), .width = D}, T, {}, out, std::move(kept),
          [=](const Frame& f) { layer_norm(f.context, f.in[0], f.rows, D, w, b, eps, f.out); });
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
  Kept kept;
  const float* w = kept.vector(weight);
  NewMatrix out = new_matrix(T, D);
  const float* added = residual ? residual->data() : nullptr;
  execute(context, {.in = {x.data(), added}, .out = out.data(), .width = D}, T, {}, out,
          std::move(kept),
          [=](const Frame& f) { rms_norm(f.context, f.in[0], f.rows, D, w, eps, f.in[1], f.out); });
  return out;
}

void cap_softly(Context& context, NewMatrix x, float cap) {
  const size_t T = x.shape(0), D = x.shape(1);
  execute(context, {.in = {x.data()}, .out = x.data(), .width = D}, T, {}, x, {},
          [=](const Frame& f) { soft_cap(f.context, f.out, f.rows * D, cap); });
}

double peak(Context& context, const std::string& instruction) {
  if (instruction != "maddubs" && instruction != "fma")
    throw std::invalid_argument("instruction: expected maddubs or fma, got '" + instruction + "'");
  nb::gil_scoped_release release;
  const auto lock = context.begin();
  return peak_macs(context, instruction == "fma" ? Instruction::fma : Instruction::maddubs);
}

uint64_t sum(Context& context, const Bytes& data) {
  nb::gil_scoped_release release;
  const auto lock = context.begin();
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
  }
  Kept kept;
  shape.query_norm = kept.vector(query_norm);
  shape.key_norm = kept.vector(key_norm);
  NewMatrix out = new_matrix(T, q);
  const Program::Step step{
      .in = {qkv.data(), shape.rotations}, .lengths = lengths, .out = out.data(), .width = q};
  execute(context, step, T, caches, out, std::move(kept), [shape](const Frame& f) {
    AttentionShape now = shape;
    now.rotations = f.in[1];
    attend(f.context, now, f.in[0], f.caches, f.lengths, f.out);
  });
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
  const size_t width = qkv.shape(1) / 3, Dh = width / n_heads;
  NewMatrix out = new_matrix(qkv.shape(0), width);
  const Program::Step step{
      .in = {qkv.data()}, .lengths = lengths, .out = out.data(), .width = width};
  execute(context, step, qkv.shape(0), {}, out, {}, [=](const Frame& f) {
    attend_all(f.context, f.in[0], n_heads, Dh, scale, f.lengths, f.out);
  });
  return out;
}

NewMatrix pool_rows(Context& context, const FloatMatrix& x, const std::vector<size_t>& lengths,
                    const std::string& pooling) {
  const Pooling mode = parse_pooling(pooling);
  check_rows(lengths, x.shape(0), 1);
  const size_t D = x.shape(1);
  NewMatrix out = new_matrix(lengths.size(), D);
  const Program::Step step{
      .in = {x.data()}, .lengths = lengths, .out = out.data(), .width = D, .pooled = true};
  execute(context, step, x.shape(0), {}, out, {},
          [=](const Frame& f) { pool(f.context, f.in[0], D, f.lengths, mode, f.out); });
  return out;
}

NewMatrix normalize(Context& context, const FloatMatrix& x) {
  const size_t D = x.shape(1);
  NewMatrix out = new_matrix(x.shape(0), D);
  execute(context, {.in = {x.data()}, .out = out.data(), .width = D}, x.shape(0), {}, out, {},
          [=](const Frame& f) { unit_length(f.context, f.in[0], f.rows, D, f.out); });
  return out;
}

}  // namespace

void bind_operations(nb::module_& m) {
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

  m.def("peak_macs", &peak, "context"_a, "instruction"_a,
        "Multiply-adds a second of all threads on registers alone: maddubs or fma; 0 for none.");
  m.def("sum_words", &sum, "context"_a, "data"_a,
        "Sum of the 64-bit words of a byte array: reads it as fast as memory allows.");
}

}  // namespace lapwing

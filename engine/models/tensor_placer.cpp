#include "engine/models/tensor_placer.h"

#include <cstring>
#include <new>
#include <numeric>

#include "kernels/embedding.h"
#include "kernels/matmul.h"

namespace orrery {

Result<TensorView> TensorPlacer::take(TensorName name, int32_t layer, Result<TensorView> found) {
  taken_.insert(file_.spelled(name, layer));
  return found;
}

Result<void> TensorPlacer::check_all_taken(TensorName layers_name) const {
  const std::string layers = file_.spelled(layers_name);
  for (const StoredTensor& tensor : file_.tensors().tensors()) {
    if (!tensor.name.starts_with(layers) || taken_.contains(tensor.name)) continue;
    if (tensor.name.find("rotary_emb") != std::string::npos || tensor.name.find("rot_embd") != std::string::npos)
      continue;
    return Error{ErrorCode::kUnsupported,
                 file_.path() + ": a model of architecture " + file_.architecture() +
                     " cannot be run with this tensor, which it does not know: " + tensor.name.substr(0, 80)};
  }
  return {};
}

void TensorPlacer::skip_layer(TensorName layers, int64_t layer) {
  const std::string prefix = file_.spelled(layers) + std::to_string(layer) + ".";
  for (const StoredTensor& tensor : file_.tensors().tensors()) {
    if (tensor.name.starts_with(prefix)) taken_.insert(std::string(tensor.name));
  }
}

TensorView TensorPlacer::placed(Result<TensorView> found) {
  if (!found && !error_) error_ = found.error();
  if (error_ || found->empty()) return {};
  Result<PlacedWeight> placed = placement_.backend.place(*found, placement_.progress);
  if (!placed) {
    error_ = placed.error();
    return {};
  }
  if (placed->memory != nullptr) memory_.push_back(std::move(placed->memory));
  return placed->view;
}

TensorView TensorPlacer::widened(Result<TensorView> found, float plus) {
  if (found && !found->empty() && !is_float(found->dtype)) {
    found = Error{ErrorCode::kUnsupported, file_.path() + ": a vector of " + std::to_string(found->n_cols()) +
                                               " numbers must be stored as F32, F16 or BF16, but is " +
                                               std::string(dtype_name(found->dtype))};
  }
  if (found && !found->empty() && (found->dtype != DType::kF32 || plus != 0.0f)) {
    const auto n = static_cast<size_t>(found->n_cols());
    auto* const values = reinterpret_cast<float*>(remake(n * sizeof(float)));
    if (values == nullptr) return {};
    dequantize_row(*found, 0, {values, n});
    for (size_t i = 0; i < n; ++i) values[i] += plus;
    found = TensorView{.dtype = DType::kF32, .shape = found->shape, .data = reinterpret_cast<const std::byte*>(values)};
  }
  return placed(std::move(found));
}

Result<TensorView> TensorPlacer::checked_matrix(TensorName name, int32_t layer, Shape shape) {
  Result<TensorView> found = take(name, layer, file_.tensor(name, layer, shape));
  if (!found || matmul_supports(found->dtype)) return found;
  return Error{ErrorCode::kUnsupported,
               file_.path() + ": the matrix " + file_.spelled(name, layer) +
                   " is stored in a type that cannot be multiplied with: " + std::string(dtype_name(found->dtype))};
}

TensorView TensorPlacer::matrix(TensorName name, int32_t layer, int64_t n_rows, int64_t n_cols) {
  return placed(checked_matrix(name, layer, {n_rows, n_cols}));
}

std::byte* TensorPlacer::remake(size_t n_bytes) {
  remade_.emplace_back(new (std::nothrow) std::byte[n_bytes]);
  if (remade_.back() == nullptr) {
    keep({ErrorCode::kOutOfMemory, file_.path() + ": no memory for weights in the form that is computed with; bytes: " +
                                       std::to_string(n_bytes)});
  }
  return remade_.back().get();
}

std::vector<float> TensorPlacer::numbers_of(const TensorView& tensor) const {
  const auto n_cols = static_cast<size_t>(tensor.n_cols());
  std::vector<float> numbers(static_cast<size_t>(tensor.n_rows()) * n_cols);
  for (int64_t r = 0; r < tensor.n_rows(); ++r) {
    dequantize_row(tensor, r, {numbers.data() + static_cast<size_t>(r) * n_cols, n_cols});
  }
  return numbers;
}

std::vector<float> TensorPlacer::values(TensorName name, int32_t layer, int64_t n) {
  const StoredTensor* stored = file_.find(name, layer);
  const bool fits = stored != nullptr && stored->shape.n_elements() == n;
  const Result<TensorView> found = take(name, layer, file_.tensor(name, layer, fits ? stored->shape : Shape{n}));
  if (!found) {
    keep(found.error());
    return {};
  }
  if (!is_float(found->dtype)) {
    keep({ErrorCode::kUnsupported, file_.path() + ": " + file_.spelled(name, layer) +
                                       " must be stored as F32, F16 or BF16, but is " +
                                       std::string(dtype_name(found->dtype))});
    return {};
  }
  return numbers_of(*found);
}

std::vector<float> TensorPlacer::optional_values(TensorName name, int32_t layer, int64_t n) {
  return file_.find(name, layer) == nullptr ? std::vector<float>() : values(name, layer, n);
}

TensorView TensorPlacer::made(std::vector<float> values, Shape shape) {
  if (values.empty()) return {};
  CHECK(static_cast<int64_t>(values.size()) == shape.n_elements(), "values of another shape");
  std::byte* const data = remake(values.size() * sizeof(float));
  if (data == nullptr) return {};
  std::memcpy(data, values.data(), values.size() * sizeof(float));
  return placed(TensorView{.dtype = DType::kF32, .shape = shape, .data = data});
}

TensorView TensorPlacer::taps(std::span<const TensorName> names, int32_t layer, std::span<const int64_t> n_channels,
                              int64_t n_taps) {
  const int64_t n_all = std::accumulate(n_channels.begin(), n_channels.end(), int64_t{0});
  std::vector<float> turned(static_cast<size_t>(n_taps * n_all));
  int64_t first = 0;
  for (size_t i = 0; i < names.size(); first += n_channels[i++]) {
    const std::vector<float> stored = values(names[i], layer, n_channels[i] * n_taps);
    if (stored.empty()) return {};
    for (int64_t c = 0; c < n_channels[i]; ++c) {
      for (int64_t tap = 0; tap < n_taps; ++tap) {
        turned[static_cast<size_t>(tap * n_all + first + c)] = stored[static_cast<size_t>(c * n_taps + tap)];
      }
    }
  }
  return made(std::move(turned), {n_taps, n_all});
}

TensorView TensorPlacer::matrix_rows(TensorName name, int32_t layer, int64_t n_rows, int64_t n_cols,
                                     std::span<const int64_t> order) {
  Result<TensorView> found = checked_matrix(name, layer, {n_rows, n_cols});
  if (found && !found->empty()) {
    const size_t n_bytes = row_bytes(found->dtype, static_cast<size_t>(n_cols));
    std::byte* const data = remake(order.size() * n_bytes);
    if (data == nullptr) return {};
    for (size_t i = 0; i < order.size(); ++i) std::memcpy(data + i * n_bytes, found->row(order[i]), n_bytes);
    found->shape = {static_cast<int64_t>(order.size()), n_cols};
    found->data = data;
  }
  return placed(std::move(found));
}

std::vector<TensorView> TensorPlacer::turned_rows(TensorName name, int32_t layer, int64_t n, int64_t n_rows,
                                                  int64_t n_cols, int64_t begin, int64_t count) {
  Result<TensorView> found = checked_matrix(name, layer, {n * n_rows, n_cols});
  if (found && !found->empty()) {
    const bool stays = is_float(found->dtype);
    const size_t n_bytes = stays ? row_bytes(found->dtype, 1) : sizeof(float);
    std::byte* const data = remake(static_cast<size_t>(n * count * n_cols) * n_bytes);
    if (data == nullptr) return {};
    std::vector<float> numbers(stays ? 0 : static_cast<size_t>(n_cols));
    for (int64_t i = 0; i < n * count; ++i) {
      const int64_t part = i / count, row = part * n_rows + begin + i % count;
      if (!stays) dequantize_row(*found, row, numbers);
      const auto* from = stays ? found->row(row) : reinterpret_cast<const std::byte*>(numbers.data());
      for (int64_t c = 0; c < n_cols; ++c) {
        std::memcpy(data + static_cast<size_t>((part * n_cols + c) * count + i % count) * n_bytes,
                    from + static_cast<size_t>(c) * n_bytes, n_bytes);
      }
    }
    if (!stays) found->dtype = DType::kF32;
    found->shape = {n, n_cols, count};
    found->data = data;
  }
  return slices(placed(std::move(found)), n, n_cols);
}

std::vector<TensorView> TensorPlacer::stacked(TensorName name, int32_t layer, int64_t n, int64_t n_rows,
                                              int64_t n_cols) {
  return slices(placed(checked_matrix(name, layer, {n, n_rows, n_cols})), n, n_rows);
}

std::vector<TensorView> TensorPlacer::turned(TensorName name, int32_t layer, int64_t n, int64_t n_rows, int64_t n_cols,
                                             int64_t n_parts, int64_t part) {
  Result<TensorView> found = checked_matrix(name, layer, {n, n_cols, n_rows * n_parts});
  if (found && !is_float(found->dtype)) {
    found = Error{ErrorCode::kUnsupported, file_.path() + ": " + file_.spelled(name, layer) +
                                               " must be stored as F32, F16 or BF16, but is " +
                                               std::string(dtype_name(found->dtype))};
  }
  if (found) {
    const size_t n_bytes = row_bytes(found->dtype, 1);
    std::byte* const data = remake(static_cast<size_t>(n * n_rows * n_cols) * n_bytes);
    if (data == nullptr) return {};
    std::byte* to = data;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t r = 0; r < n_rows; ++r) {
        for (int64_t c = 0; c < n_cols; ++c, to += n_bytes) {
          const std::byte* from = found->row(i * n_cols + c) + static_cast<size_t>(r * n_parts + part) * n_bytes;
          std::memcpy(to, from, n_bytes);
        }
      }
    }
    found->shape = {n, n_rows, n_cols};
    found->data = data;
  }
  return slices(placed(std::move(found)), n, n_rows);
}

Result<const std::byte*> TensorPlacer::bytes_of(TensorName name, int32_t layer, const Shape& shape) {
  taken_.insert(file_.spelled(name, layer));
  const StoredTensor* stored = file_.find(name, layer);
  if (stored != nullptr && stored->type_name == "U8" && stored->shape == shape) return stored->data;
  const std::string is =
      stored == nullptr ? "is missing"
                        : "is of type " + std::string(stored->type_name) + " and shape " + stored->shape.to_string();
  return Error{ErrorCode::kInvalidFile, file_.path() + ": the tensor " + file_.spelled(name, layer) +
                                            " must be of type U8 and shape " + shape.to_string() + ", but " + is};
}

std::vector<TensorView> TensorPlacer::packed(TensorName blocks, TensorName exponents, int32_t layer, int64_t n,
                                             int64_t n_rows, int64_t n_cols, int64_t n_parts, int64_t part) {
  constexpr int64_t kBlock = 32, kPairs = kBlock / 2;
  const int64_t n_blocks = n_cols / kBlock;
  const auto pairs = bytes_of(blocks, layer, {n, n_rows * n_parts, n_blocks, kPairs});
  const auto scales = bytes_of(exponents, layer, {n, n_rows * n_parts, n_blocks});
  if (!pairs || !scales) {
    keep(!pairs ? pairs.error() : scales.error());
    return {};
  }
  std::byte* const data =
      remake(static_cast<size_t>(n * n_rows) * row_bytes(DType::kMXFP4, static_cast<size_t>(n_cols)));
  if (data == nullptr) return {};
  std::byte* to = data;
  for (int64_t row = 0; row < n * n_rows; ++row) {
    const int64_t first = (row * n_parts + part) * n_blocks;
    for (int64_t block = first; block < first + n_blocks; ++block) {
      const std::byte* from = *pairs + block * kPairs;
      *to++ = (*scales)[block];
      // From neighbours in a byte to numbers that lie half a block apart.
      for (int64_t i = 0; i < kPairs; ++i) {
        const auto number = [&](int64_t at) { return (from[at / 2] >> (at % 2 == 0 ? 0 : 4)) & std::byte{15}; };
        *to++ = number(i) | (number(i + kPairs) << 4);
      }
    }
  }
  return slices(placed(TensorView{.dtype = DType::kMXFP4, .shape = {n, n_rows, n_cols}, .data = data}), n, n_rows);
}

std::vector<TensorView> TensorPlacer::slices(const TensorView& all, int64_t n, int64_t n_rows) const {
  std::vector<TensorView> matrices;
  for (int64_t i = 0; i < n && !all.empty(); ++i) matrices.push_back(all.rows(i * n_rows, n_rows));
  return matrices;
}

std::vector<TensorView> TensorPlacer::numbered(TensorName name, int32_t layer, int64_t n, int64_t n_rows,
                                               int64_t n_cols) {
  const auto with_number = [](std::string_view pattern, int64_t number) {
    constexpr std::string_view kPlace = "{expert}";
    std::string text(pattern);
    if (const size_t at = text.find(kPlace); at != std::string::npos) {
      text.replace(at, kPlace.size(), std::to_string(number));
    }
    return text;
  };
  std::vector<TensorView> matrices;
  for (int64_t i = 0; i < n && !error_; ++i) {
    const std::string gguf = with_number(name.gguf, i), hf = with_number(name.hf, i);
    matrices.push_back(matrix({gguf, hf}, layer, n_rows, n_cols));
    if (matrices.back().dtype != matrices.front().dtype) {
      keep({ErrorCode::kUnsupported, file_.path() + ": the tensor " + file_.spelled(TensorName{gguf, hf}, layer) +
                                         " must be stored as the " + std::string(dtype_name(matrices.front().dtype)) +
                                         " of the other experts, but is " +
                                         std::string(dtype_name(matrices.back().dtype))});
    }
  }
  return matrices;
}

TensorView TensorPlacer::vector(TensorName name, int32_t layer, int64_t n, float plus) {
  return widened(take(name, layer, file_.tensor(name, layer, {n})), plus);
}

TensorView TensorPlacer::optional_vector(TensorName name, int32_t layer, int64_t n) {
  return widened(take(name, layer, file_.optional_tensor(name, layer, {n})));
}

}  // namespace orrery

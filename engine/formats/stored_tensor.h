// StoredTensor, TensorSource: the tensors of a weight file, whatever its format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/result.h"
#include "kernels/base/tensor.h"

namespace orrery {

// One tensor as a file declares it. A file may hold tensors that Orrery cannot compute on (a quantization that is not
// there yet, more than four dimensions): they are listed, so that `info` can count them, and refused when used.
struct StoredTensor {
  std::string name;
  std::string_view type_name;  // as the format spells it: "Q4_1", "Q4_K", "BF16", "F8_E4M3"
  std::optional<DType> dtype;  // none where Orrery has no such dtype
  Shape shape;                 // outermost first; empty where `refusal` says that it has too many dimensions
  int64_t n_elements = 0;
  uint64_t n_bytes = 0;  // as stored
  uint64_t offset = 0;   // from the start of the file `path`
  const std::byte* data = nullptr;
  std::string_view path;  // the file that holds it
  std::string refusal;    // why view() fails: "type IQ2_S cannot be computed on yet"; empty where it works

  // The tensor for computing, or kUnsupported naming type, tensor and file. The `data` of a vector is aligned for its
  // elements; a matrix may lie at any address.
  Result<TensorView> view() const;
};

// A GGUF file or a Hugging Face folder. Immutable once open; safe from any thread. Views live as long as the source.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual const std::string& path() const = 0;  // as the user named it
  // In the order of the file (of the shards, by name).
  virtual std::span<const StoredTensor> tensors() const = 0;
  // Null where there is no such tensor. The name is spelled as in this format.
  virtual const StoredTensor* find_tensor(std::string_view name) const = 0;

  // The tensor by that name for computing: kNotFound naming it and the file, or what view() says.
  Result<TensorView> tensor(std::string_view name) const;
};

}  // namespace orrery

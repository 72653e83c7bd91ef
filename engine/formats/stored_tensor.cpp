#include "engine/formats/stored_tensor.h"

#include "engine/formats/quoted.h"

namespace orrery {

Result<TensorView> StoredTensor::view() const {
  if (!refusal.empty()) {
    return Error{ErrorCode::kUnsupported, refusal + ": tensor " + in_quotes(name) + " of " + std::string(path)};
  }
  return TensorView{*dtype, shape, data};
}

Result<TensorView> TensorSource::tensor(std::string_view name) const {
  const StoredTensor* found = find_tensor(name);
  if (found == nullptr) {
    return Error{ErrorCode::kNotFound, path() + " has no tensor " + in_quotes(name)};
  }
  return found->view();
}

}  // namespace orrery

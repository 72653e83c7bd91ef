// Workspace: scratch matrices of a forward pass, in the backend's memory. Grows once, is reused by every later step.
// Engine thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/backend.h"
#include "kernels/base/tensor.h"

namespace orrery {

class Workspace {
 public:
  explicit Workspace(std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {}

  // Uninitialised; valid until the enclosing Scope ends. Aborts where memory is out: forward passes
  // reserve() what they need first.
  Matrix<float> matrix(int64_t n_rows, int64_t n_cols);

  // Makes sure that `n_bytes` can be had at once, so that matrix() cannot fail below that.
  Result<void> reserve(size_t n_bytes);

  // Gives back, at its end, all matrices that were taken since its beginning.
  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), block_(workspace.block_), used_(workspace.used_) {}
    ~Scope() {
      workspace_.block_ = block_;
      workspace_.used_ = used_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    size_t block_;
    size_t used_;
  };

 private:
  std::shared_ptr<Backend> backend_;
  std::vector<std::unique_ptr<Allocation>> blocks_;
  size_t block_ = 0;  // the one in use
  size_t used_ = 0;   // bytes of it
};

}  // namespace orrery

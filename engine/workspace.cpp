#include "engine/workspace.h"

#include <algorithm>

namespace orrery {

namespace {
constexpr size_t kAlignment = 64;
constexpr size_t kLeastBlock = size_t{1} << 20;
}  // namespace

Matrix<float> Workspace::matrix(int64_t n_rows, int64_t n_cols) {
  const size_t wanted = static_cast<size_t>(n_rows) * static_cast<size_t>(n_cols) * sizeof(float);
  const size_t n_bytes = (wanted + kAlignment - 1) / kAlignment * kAlignment;
  while (block_ < blocks_.size() && used_ + n_bytes > blocks_[block_]->n_bytes()) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    auto block = backend_->allocate(std::max(n_bytes, kLeastBlock));
    CHECK(block.has_value(), "scratch memory was not reserved");
    blocks_.push_back(std::move(block).value());
    used_ = 0;
  }
  auto* data = reinterpret_cast<float*>(blocks_[block_]->data() + used_);
  used_ += n_bytes;
  return {data, n_rows, n_cols};
}

Result<void> Workspace::reserve(size_t n_bytes) {
  CHECK(block_ == 0 && used_ == 0, "reserve() while matrices are in use");
  if (!blocks_.empty() && blocks_.front()->n_bytes() >= n_bytes) return {};
  // One block that holds it all replaces the smaller ones.
  blocks_.clear();
  ORRERY_ASSIGN_OR_RETURN(auto block, backend_->allocate(std::max(n_bytes, kLeastBlock)));
  blocks_.push_back(std::move(block));
  return {};
}

}  // namespace orrery

#include "engine/probe_plan.h"

#include <algorithm>

namespace orrery {

const ProbeField* ProbePlan::find(Quantity quantity) const {
  const auto found = std::ranges::find(fields, quantity, &ProbeField::quantity);
  return found == fields.end() ? nullptr : &*found;
}

void ProbeBuffer::prepare(const ProbePlan& plan, int64_t n_rows, int64_t n_keys) {
  plan_ = &plan;
  n_rows_ = n_rows;
  n_keys_ = n_keys;
  offsets_.clear();
  n_words_ = 0;
  for (const ProbeField& field : plan.fields) {
    offsets_.push_back(n_words_);
    // Even word counts keep every field 8-byte aligned for the int64 ones.
    n_words_ += (static_cast<size_t>(n_rows * field.n_layers() * field.width.words(n_keys)) + 1) & ~size_t{1};
  }
  if (n_words_ > capacity_words_) {
    words_ = std::make_unique_for_overwrite<float[]>(n_words_);
    capacity_words_ = n_words_;
  }
}

StatSlot ProbeBuffer::slot(Quantity quantity, int32_t layer) const {
  if (plan_ == nullptr) return {};
  for (size_t i = 0; i < plan_->fields.size(); ++i) {
    const ProbeField& field = plan_->fields[i];
    if (field.quantity != quantity) continue;
    int64_t index = 0;
    if (!field.layers.empty()) {
      const auto found = std::ranges::lower_bound(field.layers, layer);
      if (found == field.layers.end() || *found != layer) return {};
      index = found - field.layers.begin();
    }
    const int64_t width = field.width.words(n_keys_);
    return {words_.get() + offsets_[i] + static_cast<size_t>(index * width), field.n_layers() * width};
  }
  return {};
}

std::span<const std::byte> ProbeBuffer::field_bytes(size_t i) const {
  const ProbeField& field = plan_->fields[i];
  const auto n_words = static_cast<size_t>(n_rows_ * field.n_layers() * field.width.words(n_keys_));
  return std::as_bytes(std::span<const float>(words_.get() + offsets_[i], n_words));
}

}  // namespace orrery

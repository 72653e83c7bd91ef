#include "engine/probe_plan.h"

#include <algorithm>

namespace orrery {

const ProbeField* ProbePlan::find(Quantity quantity) const {
  const auto found = std::ranges::find(fields, quantity, &ProbeField::quantity);
  return found == fields.end() ? nullptr : &*found;
}

Result<void> ProbeBuffer::prepare(const ProbePlan& plan, int64_t n_rows, int64_t n_keys) {
  plan_ = &plan;
  n_rows_ = n_rows;
  n_keys_ = n_keys;
  offsets_.clear();
  n_words_ = 0;
  first_row_ = 0;
  depths_.clear();
  for (Place& place : places_) place.field = -1;
  for (const ProbeField& field : plan.fields) {
    Place& place = places_[static_cast<size_t>(field.quantity)];
    place.field = static_cast<int32_t>(offsets_.size());
    place.width = field.width.words(n_keys);
    place.row_stride = field.n_layers() * place.width;
    place.slices.assign(field.layers.empty() ? 0 : static_cast<size_t>(field.layers.back()) + 1, -1);
    for (size_t i = 0; i < field.layers.size(); ++i) {
      place.slices[static_cast<size_t>(field.layers[i])] = static_cast<int32_t>(i);
    }
    offsets_.push_back(n_words_);
    // Even word counts keep every field 8-byte aligned for the int64 ones.
    n_words_ += (static_cast<size_t>(n_rows * place.row_stride) + 1) & ~size_t{1};
  }
  if (n_words_ > 0 && (words_ == nullptr || n_bytes() > words_->n_bytes())) {
    ORRERY_ASSIGN_OR_RETURN(words_, backend_->allocate_readback(n_bytes()));
  }
  return {};
}

StatSlot ProbeBuffer::slot(Quantity quantity, int32_t layer) const {
  StatSlot slot = words_ == nullptr ? StatSlot{} : slot_in(words_->written(), quantity, layer);
  if (slot) slot.data = slot.row(first_row_);
  return slot;
}

StatSlot ProbeBuffer::host_slot(Quantity quantity, int32_t layer) const {
  return words_ == nullptr ? StatSlot{} : slot_in(words_->read(), quantity, layer);
}

StatSlot ProbeBuffer::slot_in(std::byte* memory, Quantity quantity, int32_t layer) const {
  const Place& place = places_[static_cast<size_t>(quantity)];
  if (place.field < 0) return {};
  int64_t slice = 0;
  if (!place.slices.empty()) {
    if (static_cast<size_t>(layer) >= place.slices.size() || place.slices[static_cast<size_t>(layer)] < 0) return {};
    slice = place.slices[static_cast<size_t>(layer)];
  }
  float* const begin = reinterpret_cast<float*>(memory) + offsets_[static_cast<size_t>(place.field)];
  return {begin + slice * place.width, place.row_stride};
}

const ProbeField* ProbeBuffer::field(Quantity quantity) const {
  const int32_t i = places_[static_cast<size_t>(quantity)].field;
  return i < 0 ? nullptr : &plan_->fields[static_cast<size_t>(i)];
}

std::span<const std::byte> ProbeBuffer::field_bytes(size_t i) const {
  const ProbeField& field = plan_->fields[i];
  const auto n_words = static_cast<size_t>(n_rows_ * field.n_layers() * field.width.words(n_keys_));
  if (n_words == 0) return {};
  return {words_->read() + offsets_[i] * sizeof(float), n_words * sizeof(float)};
}

}  // namespace orrery

#include "engine/tokenizers/hf_splitter.h"

#include <array>
#include <string>
#include <utility>

namespace orrery {

Result<HfSplitBehavior> hf_split_behavior(const HfObject& object, std::optional<HfSplitBehavior> fallback) {
  using Behavior = HfSplitBehavior;
  if (fallback && object.find("behavior") == nullptr) return *fallback;
  ORRERY_ASSIGN_OR_RETURN(const std::string name, object.text("behavior"));
  static constexpr std::array<std::pair<std::string_view, Behavior>, 5> kNames = {
      {{"Removed", Behavior::kRemoved},
       {"Isolated", Behavior::kIsolated},
       {"MergedWithPrevious", Behavior::kMergedWithPrevious},
       {"MergedWithNext", Behavior::kMergedWithNext},
       {"Contiguous", Behavior::kContiguous}}};
  for (const auto& [spelled, behavior] : kNames) {
    if (spelled == name) return behavior;
  }
  return object.wrong("behavior", "one of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

// True where the stretch belongs to the pending one.
bool HfSplitter::joins(const HfMatch& stretch) const {
  switch (behavior_) {
    case HfSplitBehavior::kContiguous:
      return stretch.is_match == was_match_;
    case HfSplitBehavior::kMergedWithPrevious:
      return stretch.is_match && !was_match_;
    case HfSplitBehavior::kMergedWithNext:
      return !stretch.is_match && was_match_;
    default:
      return false;
  }
}

void HfSplitter::add(const HfMatch& stretch) {
  if (pending_ && joins(stretch)) {
    pending_->end = stretch.end;
  } else {
    if (pending_) emit(*pending_);
    pending_ = stretch;
  }
  was_match_ = stretch.is_match;
}

void HfSplitter::emit(const HfMatch& stretch) {
  if (!result_ || stretch.begin == stretch.end) return;
  if (behavior_ == HfSplitBehavior::kRemoved && stretch.is_match) return;
  result_ = sink_(piece_.part(stretch.begin, stretch.end));
}

Result<void> HfSplitter::finish() {
  if (pending_) emit(*pending_);
  pending_.reset();
  return result_;
}

}  // namespace orrery

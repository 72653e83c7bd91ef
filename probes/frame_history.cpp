#include "probes/frame_history.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace orrery {
namespace {

// Frames up to this size are copied into blocks of their own; a larger one shares the memory of the pass it came from.
constexpr size_t kSmallFrameBytes = size_t{256} << 10;
constexpr size_t kBlockBytes = size_t{256} << 10;
constexpr int64_t kBlockSteps = 256;
// A map entry with its Frame and layer list, about.
constexpr size_t kEntryBytes = 512;

// The part [begin, end) of a frame, on the same memory.
std::shared_ptr<Frame> slice(const Frame& frame, int64_t begin, int64_t end) {
  auto part = std::make_shared<Frame>(frame);
  const size_t step_bytes = frame.payload_bytes / static_cast<size_t>(frame.n_steps());
  part->payload = std::shared_ptr<const std::byte>(
      frame.payload, frame.payload.get() + static_cast<size_t>(begin - frame.step_begin) * step_bytes);
  part->step_begin = begin;
  part->step_end = end;
  part->shape[0] = end - begin;
  part->payload_bytes = static_cast<size_t>(end - begin) * step_bytes;
  return part;
}

// Whether b's steps can stand behind a's in one Frame.
bool same_columns(const Frame& a, const Frame& b) {
  return a.step_end == b.step_begin && a.origin == b.origin && a.layers == b.layers && a.heads == b.heads &&
         a.shape.size() == b.shape.size() && std::equal(a.shape.begin() + 1, a.shape.end(), b.shape.begin() + 1);
}

int64_t distance(const Frame& frame, int64_t step) {
  if (step < frame.step_begin) return frame.step_begin - step;
  return step < frame.step_end ? 0 : step - frame.step_end + 1;
}

template <typename T>
std::span<const T> of_layer(const Frame& frame, std::span<const T> values, int32_t layer) {
  const int64_t i = frame.layer_index(layer);
  if (i < 0) return {};
  const size_t width = values.size() / frame.layers.size();
  return values.subspan(static_cast<size_t>(i) * width, width);
}

}  // namespace

std::span<const float> FrameRow::layer_f32(int32_t layer) const { return of_layer(*frame, f32(), layer); }
std::span<const int32_t> FrameRow::layer_i32(int32_t layer) const { return of_layer(*frame, i32(), layer); }
std::span<const int64_t> FrameRow::layer_i64(int32_t layer) const { return of_layer(*frame, i64(), layer); }

std::span<const int64_t> FrameRow::inner_shape() const {
  return std::span<const int64_t>(frame->shape).subspan(frame->probe->has_layers() ? 2 : 1);
}

size_t FrameHistory::Entry::cost() const { return kEntryBytes + std::max(capacity, frame->payload_bytes); }

FrameHistory::FrameHistory(size_t max_bytes) : max_bytes_(max_bytes) {}

void FrameHistory::reset(RunInfo info) {
  info_ = std::move(info);
  tokens_.clear();
  events_.clear();
  frames_.clear();
  used_bytes_ = 0;
  n_processed_ = 0;
  cursor_ = 0;
  ++version_;
}

void FrameHistory::add_token(const Token& token) {
  CHECK(token.step >= 0);
  while (static_cast<int64_t>(tokens_.size()) <= token.step) {
    tokens_.push_back({.step = static_cast<int64_t>(tokens_.size()), .id = -1, .bytes = {}});
  }
  tokens_[static_cast<size_t>(token.step)] = token;
  ++version_;
}

void FrameHistory::add_event(const RunEvent& event) {
  events_.push_back(event);
  ++version_;
}

void FrameHistory::add_batch(const FrameBatch& batch) {
  if (batch.run != info_.run) return;
  for (const Token& token : batch.tokens) add_token(token);
  for (const Frame& frame : batch.frames) add_frame(frame);
  for (const RunEvent& event : batch.events) add_event(event);
}

void FrameHistory::add_frame(const Frame& frame) {
  if (frame.run != info_.run || frame.level != 0 || frame.n_steps() <= 0 || frame.probe == nullptr) return;
  ++version_;
  n_processed_ = std::max(n_processed_, frame.step_end);
  make_room(*frame.probe, frame.step_begin, frame.step_end);
  if (append(frame)) {
    evict();
    return;
  }
  Entry entry;
  entry.frame = std::make_shared<Frame>(frame);
  if (frame.payload_bytes <= kSmallFrameBytes) {
    // A single step is likely the first of many; a longer one is whole as it is.
    const size_t step_bytes = std::max<size_t>(frame.payload_bytes / static_cast<size_t>(frame.n_steps()), 1);
    const auto block_steps = std::min<size_t>(kBlockSteps, std::max<size_t>(kBlockBytes / step_bytes, 1));
    entry.capacity =
        frame.n_steps() == 1 ? std::max(frame.payload_bytes, block_steps * step_bytes) : frame.payload_bytes;
    const std::shared_ptr<std::byte[]> block = std::make_shared_for_overwrite<std::byte[]>(entry.capacity);
    std::memcpy(block.get(), frame.payload.get(), frame.payload_bytes);
    entry.block = block.get();
    entry.frame->payload = std::shared_ptr<const std::byte>(block, block.get());
  }
  insert(std::move(entry));
  evict();
}

// Puts the frame's steps behind those of the block before it, where they fit. Holders of that Frame see it grow; the
// steps that they knew stay where they are.
bool FrameHistory::append(const Frame& frame) {
  auto after = frames_.lower_bound({frame.probe, frame.step_begin});
  if (after == frames_.begin()) return false;
  Entry& before = std::prev(after)->second;
  Frame& held = *before.frame;
  if (held.probe != frame.probe || before.block == nullptr || !same_columns(held, frame)) return false;
  if (held.payload_bytes + frame.payload_bytes > before.capacity) return false;
  std::memcpy(before.block + held.payload_bytes, frame.payload.get(), frame.payload_bytes);
  held.payload_bytes += frame.payload_bytes;
  held.step_end = frame.step_end;
  held.shape[0] = held.n_steps();
  return true;
}

// Cuts [begin, end) out of what is held. The pieces left share their block's memory, which then takes no more steps.
void FrameHistory::make_room(const Probe& probe, int64_t begin, int64_t end) {
  auto at = frames_.lower_bound({&probe, begin});
  if (at != frames_.begin()) {
    const auto before = std::prev(at);
    if (before->first.probe == &probe && before->second.frame->step_end > begin) at = before;
  }
  while (at != frames_.end() && at->first.probe == &probe && at->first.step_begin < end) {
    const std::shared_ptr<const Frame> old = at->second.frame;
    at = erase(at);
    if (old->step_begin < begin) insert({.frame = slice(*old, old->step_begin, begin)});
    if (old->step_end > end) insert({.frame = slice(*old, end, old->step_end)});
  }
}

void FrameHistory::insert(Entry entry) {
  used_bytes_ += entry.cost();
  const Key key{entry.frame->probe, entry.frame->step_begin};
  frames_.insert_or_assign(key, std::move(entry));
}

FrameHistory::Frames::iterator FrameHistory::erase(Frames::iterator entry) {
  used_bytes_ -= entry->second.cost();
  return frames_.erase(entry);
}

// Drops the frames farthest from the cursor. They are at either end of a probe's steps, so only those are looked at.
// What the cursor stands on is kept even where it alone is over the limit.
void FrameHistory::evict() {
  while (used_bytes_ > max_bytes_) {
    auto farthest = frames_.end();
    int64_t farthest_distance = 0;
    for (auto first = frames_.begin(); first != frames_.end();) {
      const auto next = frames_.upper_bound({first->first.probe, std::numeric_limits<int64_t>::max()});
      for (const auto candidate : {first, std::prev(next)}) {
        const int64_t d = distance(*candidate->second.frame, cursor_);
        if (d > farthest_distance) {
          farthest = candidate;
          farthest_distance = d;
        }
      }
      first = next;
    }
    if (farthest == frames_.end()) return;
    erase(farthest);
  }
}

FrameHistory::Frames::const_iterator FrameHistory::find(const Probe& probe, int64_t step) const {
  auto after = frames_.upper_bound({&probe, step});
  if (after == frames_.begin()) return frames_.end();
  const auto at = std::prev(after);
  return at->first.probe == &probe && step < at->second.frame->step_end ? at : frames_.end();
}

FrameRow FrameHistory::row(const Probe& probe, int64_t step) const {
  const auto at = find(probe, step);
  if (at == frames_.end()) return {};
  return {.frame = at->second.frame, .step = step};
}

std::vector<std::pair<int64_t, int64_t>> FrameHistory::missing(const Probe& probe, int64_t begin, int64_t end) const {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  auto at = find(probe, begin);
  if (at == frames_.end()) at = frames_.lower_bound({&probe, begin});
  int64_t from = begin;
  for (; from < end && at != frames_.end() && at->first.probe == &probe; ++at) {
    const Frame& frame = *at->second.frame;
    if (frame.step_begin > from) ranges.emplace_back(from, std::min(frame.step_begin, end));
    from = frame.step_end;
  }
  if (from < end) ranges.emplace_back(from, end);
  return ranges;
}

}  // namespace orrery

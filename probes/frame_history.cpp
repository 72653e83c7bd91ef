#include "probes/frame_history.h"

#include <algorithm>
#include <cmath>
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
  const int64_t row_steps = steps_per_cell(frame.level);
  const size_t row_bytes = frame.payload_bytes / static_cast<size_t>(frame.n_rows());
  part->payload = std::shared_ptr<const std::byte>(
      frame.payload, frame.payload.get() + static_cast<size_t>((begin - frame.step_begin) / row_steps) * row_bytes);
  part->step_begin = begin;
  part->step_end = end;
  part->shape[0] = (end - begin) / row_steps;
  part->payload_bytes = static_cast<size_t>(part->shape[0]) * row_bytes;
  return part;
}

template <typename T>
Frame as_whole_numbers(Frame frame) {
  const std::span<const float> from = frame.values<float>();
  const std::shared_ptr<T[]> to = std::make_shared_for_overwrite<T[]>(from.size());
  for (size_t i = 0; i < from.size(); ++i) to[i] = std::isnan(from[i]) ? T{-1} : static_cast<T>(from[i]);
  frame.payload_bytes = from.size() * sizeof(T);
  frame.payload = std::shared_ptr<const std::byte>(to, reinterpret_cast<const std::byte*>(to.get()));
  return frame;
}

// Cells are float32; what reads their probe's steps expects its dtype.
Frame as_dtype(const Frame& cells) {
  if (cells.probe->dtype == DType::kI32) return as_whole_numbers<int32_t>(cells);
  if (cells.probe->dtype == DType::kI64) return as_whole_numbers<int64_t>(cells);
  return cells;
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

const Probe& attention_mass() {
  static const Probe* const kProbe = find_probe("attention.mass");
  return *kProbe;
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

void FrameHistory::set_max_bytes(size_t max_bytes) {
  max_bytes_ = max_bytes;
  evict();
}

void FrameHistory::reset(RunInfo info) {
  info_ = std::move(info);
  tokens_.clear();
  events_.clear();
  frames_.clear();
  builders_.clear();
  on_screen_.clear();
  recalled_.clear();
  mass_.reset();
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
  n_processed_ = std::max(n_processed_, batch.lost_end);
  for (const Frame& frame : batch.frames) {
    add_frame(frame);
    // Block mass is drawn of the one head that is gathered; cells of all heads would be megabytes each.
    if (frame.level == 0 && frame.probe != nullptr && frame.probe != &attention_mass() && has_levels(*frame.probe)) {
      build_levels(frame);
    }
  }
  for (const RunEvent& event : batch.events) add_event(event);
}

void FrameHistory::add_frame(const Frame& frame) {
  if (frame.run != info_.run || frame.n_rows() <= 0 || frame.probe == nullptr || !is_level(frame.level)) return;
  ++version_;
  hold(frame);
  if (frame.level == 0) {
    n_processed_ = std::max(n_processed_, frame.step_end);
    if (mass_ && frame.probe == &attention_mass()) mass_->add(frame, frame.step_begin, frame.step_end);
  }
  evict();
}

// Steps that lie elsewhere than behind the last ones belong to cells of which this has not seen the beginning.
void FrameHistory::build_levels(const Frame& frame) {
  LevelBuilder& builder = builders_[frame.probe];
  if (frame.step_begin != builder.next_step()) builder.restart();
  builder.add(frame, [this](const Frame& cell) { hold(cell); });
}

void FrameHistory::hold(const Frame& frame) {
  make_room(*frame.probe, frame.level, frame.step_begin, frame.step_end);
  if (append(frame)) return;
  Entry entry;
  entry.frame = std::make_shared<Frame>(frame);
  if (frame.payload_bytes <= kSmallFrameBytes) {
    // A single row is likely the first of many; a longer frame is whole as it is.
    const size_t row_bytes = std::max<size_t>(frame.payload_bytes / static_cast<size_t>(frame.n_rows()), 1);
    const auto block_rows = std::min<size_t>(kBlockSteps, std::max<size_t>(kBlockBytes / row_bytes, 1));
    entry.capacity = frame.n_rows() == 1 ? std::max(frame.payload_bytes, block_rows * row_bytes) : frame.payload_bytes;
    const std::shared_ptr<std::byte[]> block = std::make_shared_for_overwrite<std::byte[]>(entry.capacity);
    std::memcpy(block.get(), frame.payload.get(), frame.payload_bytes);
    entry.block = block.get();
    entry.frame->payload = std::shared_ptr<const std::byte>(block, block.get());
  }
  insert(std::move(entry));
}

// Puts the frame's steps behind those of the block before it, where they fit. Holders of that Frame see it grow; the
// steps that they knew stay where they are.
bool FrameHistory::append(const Frame& frame) {
  auto after = frames_.lower_bound({frame.probe, frame.level, frame.step_begin});
  if (after == frames_.begin()) return false;
  Entry& before = std::prev(after)->second;
  Frame& held = *before.frame;
  if (held.probe != frame.probe || held.level != frame.level || before.block == nullptr || !same_columns(held, frame))
    return false;
  if (held.payload_bytes + frame.payload_bytes > before.capacity) return false;
  std::memcpy(before.block + held.payload_bytes, frame.payload.get(), frame.payload_bytes);
  held.payload_bytes += frame.payload_bytes;
  held.step_end = frame.step_end;
  held.shape[0] += frame.n_rows();
  return true;
}

// Cuts [begin, end) out of what is held. The pieces left share their block's memory, which then takes no more steps.
void FrameHistory::make_room(const Probe& probe, int32_t level, int64_t begin, int64_t end) {
  auto at = frames_.lower_bound({&probe, level, begin});
  if (at != frames_.begin()) {
    const auto before = std::prev(at);
    const bool same = before->first.probe == &probe && before->first.level == level;
    if (same && before->second.frame->step_end > begin) at = before;
  }
  while (at != frames_.end() && at->first.probe == &probe && at->first.level == level && at->first.step_begin < end) {
    const std::shared_ptr<const Frame> old = at->second.frame;
    at = erase(at);
    if (old->step_begin < begin) insert({.frame = slice(*old, old->step_begin, begin)});
    if (old->step_end > end) insert({.frame = slice(*old, end, old->step_end)});
  }
}

void FrameHistory::insert(Entry entry) {
  used_bytes_ += entry.cost();
  const Key key{entry.frame->probe, entry.frame->level, entry.frame->step_begin};
  frames_.insert_or_assign(key, std::move(entry));
}

FrameHistory::Frames::iterator FrameHistory::erase(Frames::iterator entry) {
  used_bytes_ -= entry->second.cost();
  return frames_.erase(entry);
}

bool FrameHistory::is_on_screen(const Frame& frame) const {
  return std::ranges::any_of(on_screen_, [&](const FrameRange& range) {
    return range.probe == frame.probe && range.level == frame.level && range.begin < frame.step_end &&
           range.end > frame.step_begin;
  });
}

// Drops the frames farthest from the cursor, a tenth more than needed, so that this is not done at every step. What the
// cursor stands on and what is on the screen is kept even where it alone is over the limit.
void FrameHistory::evict() {
  if (used_bytes() <= max_bytes_) return;
  std::vector<std::pair<int64_t, Key>> candidates;
  for (const auto& [key, entry] : frames_) {
    const int64_t d = distance(*entry.frame, cursor_);
    if (d > 0 && !is_on_screen(*entry.frame)) candidates.emplace_back(d, key);
  }
  std::ranges::sort(candidates, std::ranges::greater());
  for (const auto& [d, key] : candidates) {
    if (used_bytes() <= max_bytes_ / 10 * 9) return;
    erase(frames_.find(key));
  }
}

FrameHistory::Frames::const_iterator FrameHistory::find(const Probe& probe, int32_t level, int64_t step) const {
  auto after = frames_.upper_bound({&probe, level, step});
  if (after == frames_.begin()) return frames_.end();
  const auto at = std::prev(after);
  const bool same = at->first.probe == &probe && at->first.level == level;
  return same && step < at->second.frame->step_end ? at : frames_.end();
}

FrameRow FrameHistory::row(const Probe& probe, int64_t step, int32_t level) const {
  const auto at = find(probe, level, step);
  if (at == frames_.end()) return {};
  return {.frame = at->second.frame, .step = step};
}

bool FrameHistory::gather_mass(int32_t layer, int32_t head, int64_t max_steps) {
  if (gathered_mass(layer, head) == nullptr) {
    mass_.emplace(layer, head);
    gathered_from_ = n_processed_;
  }
  if (gathered_from_ == 0) return false;
  int64_t n_left = max_steps;
  auto at = frames_.lower_bound({&attention_mass(), 0, gathered_from_});
  bool any = false;
  while (n_left > 0 && at != frames_.begin()) {
    --at;
    if (at->first.probe != &attention_mass() || at->first.level != 0) break;
    const Frame& frame = *at->second.frame;
    const int64_t end = std::min(frame.step_end, gathered_from_);
    const int64_t begin = std::max(frame.step_begin, end - n_left);
    mass_->add(frame, begin, end);
    n_left -= end - begin;
    gathered_from_ = begin;
    any = true;
  }
  if (n_left > 0) gathered_from_ = 0;
  if (any) ++version_;
  return gathered_from_ > 0;
}

void FrameHistory::gather(const Frame& frame) {
  if (!mass_ || frame.run != info_.run || frame.probe != &attention_mass() || !is_level(frame.level)) return;
  mass_->add(frame, frame.step_begin, frame.step_end);
  ++version_;
  evict();
}

const HeadMassMap* FrameHistory::gathered_mass(int32_t layer, int32_t head) const {
  return mass_ && mass_->layer() == layer && mass_->head() == head ? &*mass_ : nullptr;
}

void FrameHistory::add_recalled(const Frame& frame) {
  if (frame.run != info_.run) return;
  recalled_.add(frame);
  ++version_;
}

FrameRow FrameHistory::row_of(const Probe& probe, int64_t step, int32_t layer, int32_t head) const {
  const auto has = [&](const Frame& frame) {
    return frame.layer_index(layer) >= 0 && (frame.heads.empty() || std::ranges::binary_search(frame.heads, head));
  };
  if (const FrameRow recorded = row(probe, step); recorded && has(*recorded.frame)) return recorded;
  if (auto recalled = recalled_.find(probe, step, layer); recalled != nullptr && has(*recalled)) {
    return {.frame = std::move(recalled), .step = step};
  }
  return {};
}

std::vector<std::pair<int64_t, int64_t>> FrameHistory::missing(const Probe& probe, int64_t begin, int64_t end,
                                                               int32_t level) const {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  auto at = find(probe, level, begin);
  if (at == frames_.end()) at = frames_.lower_bound({&probe, level, begin});
  int64_t from = begin;
  for (; from < end && at != frames_.end() && at->first.probe == &probe && at->first.level == level; ++at) {
    const Frame& frame = *at->second.frame;
    if (frame.step_begin > from) ranges.emplace_back(from, std::min(frame.step_begin, end));
    from = frame.step_end;
  }
  if (from < end) ranges.emplace_back(from, end);
  return ranges;
}

FrameHistory FrameHistory::cells_as_steps(const Probe& probe, int32_t level) const {
  FrameHistory cells(std::numeric_limits<size_t>::max());
  cells.info_ = info_;
  const int64_t row_steps = steps_per_cell(level);
  for (auto at = frames_.lower_bound({&probe, level, 0});
       at != frames_.end() && at->first.probe == &probe && at->first.level == level; ++at) {
    auto frame = std::make_shared<Frame>(as_dtype(*at->second.frame));
    frame->level = 0;
    frame->step_begin /= row_steps;
    frame->step_end /= row_steps;
    cells.n_processed_ = frame->step_end;
    cells.insert({.frame = std::move(frame)});
  }
  return cells;
}

}  // namespace orrery

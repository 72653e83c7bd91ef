// FrameHistory: what the UI thread holds of a run: its tokens, and Frames up to a byte limit, live and stored alike.
// UI thread only.
//
// A long run comes as one Frame per probe and step. Small ones are gathered into blocks of consecutive steps that the
// history owns, so that 100,000 steps cost a few thousand map entries; large ones keep the memory they came in. Coarse
// levels (levels.h) are held beside them: those that a source has, and of steps that come one after the other the same
// cells, made here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "probes/frame.h"
#include "probes/head_mass_map.h"
#include "probes/recalled_rows.h"

namespace orrery {

// One probe at one step; keeps its Frame alive.
struct FrameRow {
  std::shared_ptr<const Frame> frame;
  int64_t step = 0;

  explicit operator bool() const { return frame != nullptr; }
  std::span<const float> f32() const { return frame->step_values<float>(step); }
  std::span<const int32_t> i32() const { return frame->step_values<int32_t>(step); }
  std::span<const int64_t> i64() const { return frame->step_values<int64_t>(step); }
  // The values of one layer, [inner...]; empty where the frame lacks the layer. Of a coarse level always f32.
  std::span<const float> layer_f32(int32_t layer) const;
  std::span<const int32_t> layer_i32(int32_t layer) const;
  std::span<const int64_t> layer_i64(int32_t layer) const;
  // Sizes of the axes after [t, layer].
  std::span<const int64_t> inner_shape() const;
};

// Steps [begin, end) of a probe at a level.
struct FrameRange {
  const Probe* probe = nullptr;
  int64_t begin = 0;
  int64_t end = 0;
  int32_t level = 0;
  bool operator==(const FrameRange& other) const = default;
};

class FrameHistory {
 public:
  explicit FrameHistory(size_t max_bytes = size_t{512} << 20);
  // Takes effect at once: what is too much is dropped, but for what is on the screen.
  void set_max_bytes(size_t max_bytes);
  size_t max_bytes() const { return max_bytes_; }

  // Starts over with another run.
  void reset(RunInfo info);
  const RunInfo& info() const { return info_; }

  void add_token(const Token& token);  // replaces one of the same step; steps that are skipped get id -1
  // Overlapping steps: the newer frame wins. Frames of other runs are left out.
  void add_frame(const Frame& frame);
  void add_event(const RunEvent& event);
  // All of the above; what steps come one after the other also makes cells of coarse levels.
  void add_batch(const FrameBatch& batch);

  std::span<const Token> tokens() const { return tokens_; }
  std::span<const RunEvent> events() const { return events_; }
  int64_t n_steps() const { return static_cast<int64_t>(tokens_.size()); }
  // Steps that have been processed at all: one past the last step of any frame seen (evicted ones included).
  int64_t n_processed() const { return n_processed_; }

  // Empty where it was never seen or was evicted.
  FrameRow row(const Probe& probe, int64_t step, int32_t level = 0) const;
  // Rows over keys of one step that were computed again for some layers: they stand beside what row() gives.
  void add_recalled(const Frame& frame);
  // A row over keys that has this layer and head: what was recorded, else what was computed again; empty where neither.
  FrameRow row_of(const Probe& probe, int64_t step, int32_t layer, int32_t head) const;
  // Gathers the block mass of one head over all steps: from now on of every frame that comes, and of those that are
  // held at most max_steps a call, the newest first. False where nothing was left to do. Another head begins anew.
  bool gather_mass(int32_t layer, int32_t head, int64_t max_steps);
  // The same of a frame of attention.mass that is not to be held.
  void gather(const Frame& frame);
  // Null where another head, or none, is gathered.
  const HeadMassMap* gathered_mass(int32_t layer, int32_t head) const;
  // The steps in [begin, end) of a probe that are not held, as maximal half-open ranges: what to fetch.
  std::vector<std::pair<int64_t, int64_t>> missing(const Probe& probe, int64_t begin, int64_t end,
                                                   int32_t level = 0) const;
  // What is held of a probe at a level as if each cell were a step: for what is written for steps. Shares the memory.
  FrameHistory cells_as_steps(const Probe& probe, int32_t level) const;

  // Frames near this step are the last to be evicted; those on the screen never are, even where they alone are over the
  // limit.
  void set_cursor(int64_t step) { cursor_ = step; }
  void set_on_screen(std::vector<FrameRange> ranges) { on_screen_ = std::move(ranges); }
  // Of the Frames, and of the map that is gathered: together they keep to the limit, and the Frames make way.
  size_t used_bytes() const { return used_bytes_ + (mass_ ? mass_->n_bytes() : 0); }
  // Changes whenever anything was added: a view may skip building an unchanged scene.
  uint64_t version() const { return version_; }

 private:
  struct Key {
    const Probe* probe;
    int32_t level;
    int64_t step_begin;
    auto operator<=>(const Key&) const = default;
  };
  struct Entry {
    std::shared_ptr<Frame> frame;
    std::byte* block = nullptr;  // where steps can be appended; null where the payload is not the history's own
    size_t capacity = 0;         // bytes of the block
    size_t cost() const;
  };
  using Frames = std::map<Key, Entry>;

  Frames::const_iterator find(const Probe& probe, int32_t level, int64_t step) const;
  void hold(const Frame& frame);
  bool append(const Frame& frame);
  void make_room(const Probe& probe, int32_t level, int64_t begin, int64_t end);
  void build_levels(const Frame& frame);
  bool is_on_screen(const Frame& frame) const;
  void insert(Entry entry);
  Frames::iterator erase(Frames::iterator entry);
  void evict();

  RunInfo info_;
  std::vector<Token> tokens_;
  std::vector<RunEvent> events_;
  Frames frames_;
  std::map<const Probe*, LevelBuilder> builders_;
  std::vector<FrameRange> on_screen_;
  RecalledRows recalled_;
  std::optional<HeadMassMap> mass_;
  int64_t gathered_from_ = 0;  // of what was held when the head was chosen: steps from here on are in mass_
  size_t max_bytes_;
  size_t used_bytes_ = 0;
  int64_t n_processed_ = 0;
  int64_t cursor_ = 0;
  uint64_t version_ = 0;
};

}  // namespace orrery

#include "views/mixing_cells.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/model_axes.h"
#include "views/attention_cells.h"
#include "views/bins.h"
#include "views/scene_builder.h"
#include "views/state_cells.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kBlock = AttentionMap::kBlock;
// Numbers read for one picture: 4 M are 2 ms on one core, half of what a frame's drawing may take.
constexpr int64_t kMostWeights = int64_t{4} << 20;

// "attention, window 512", without the layer's index: as layer_label() has it of a layer with this mixer alone.
std::string mixer_name(const LayerConfig& layer, MixerKind kind) {
  ModelConfig one;
  one.layers = {layer};
  one.layers[0].mixers = {kind};
  one.layers[0].feed_forward = FeedForwardKind::kNone;
  return layer_label(one, 0).substr(2);  // behind "0 "
}

// "7 Mamba-2, loop 2"
std::string lane_name(const ModelConfig& config, int32_t layer, const std::string& mixer) {
  const LayerConfig& own = config.layers[static_cast<size_t>(layer)];
  const LoopConfig& loop = config.loop;
  std::string name = std::to_string(loop.any() ? own.index : layer) + " " + mixer;
  if (loop.any() && own.index >= loop.begin && own.index < loop.end)
    name += ", loop " + std::to_string(own.iteration + 1);
  return name;
}

// Values of a layer's heads at a step: [heads, width].
struct HeadRows {
  FrameRow row;
  std::vector<std::span<const float>> heads;
};

HeadRows head_rows(const FrameHistory& history, const char* probe, const MixingLane& lane, int64_t step) {
  HeadRows rows;
  FrameRow row = history.row_of(*find_probe(probe), step, lane.layer, 0);  // also one that was computed again
  if (!row) row = history.row(*find_probe(probe), step);
  if (!row) return rows;
  const std::span<const float> values = row.layer_f32(lane.layer);
  if (values.empty()) return rows;
  // Layers with fewer heads than the most are padded; rows that were kept of some heads name them.
  const std::vector<int32_t>& kept = row.frame->heads;
  const auto n_there = kept.empty() ? static_cast<size_t>(row.inner_shape()[0]) : kept.size();
  const size_t width = values.size() / std::max<size_t>(n_there, 1);
  for (size_t i = 0; i < n_there; ++i) {
    const int32_t head = kept.empty() ? static_cast<int32_t>(i) : kept[i];
    if (head >= lane.n_heads) continue;
    rows.heads.push_back(values.subspan(i * width, width));
  }
  if (!rows.heads.empty()) rows.row = row;
  return rows;
}

// Whether a step of a layer measured nothing: all its values are missing.
bool is_blank(std::span<const float> values) {
  return std::ranges::all_of(values, [](float value) { return std::isnan(value); });
}

// The first key that the lane sees from a step.
int64_t first_seen(const MixingLane& lane, int64_t step) {
  return lane.kind == LaneKind::kAttention && lane.window > 0 ? std::max<int64_t>(step - lane.window + 1, 0) : 0;
}

void take(float& cell, float value) {
  if (std::isnan(cell) || std::fabs(value) > std::fabs(cell)) cell = value;
}

class Filler {
 public:
  Filler(const FrameHistory& history, const MixingLane& lane, int64_t step, LaneCells& cells)
      : history_(history), lane_(lane), step_(step), cells_(cells) {}

  // Heads by key, from a row that has a value a key.
  bool keys_of(const char* probe, LaneForm form, int max_cols, bool of_all_heads) {
    const HeadRows rows = head_rows(history_, probe, lane_, step_);
    if (!rows.row || (of_all_heads && std::ssize(rows.heads) < lane_.n_heads)) return false;
    if (is_left(rows)) return true;
    begin(form, rows.row, bin_size(cells_.keys.size(), max_cols));
    cells_.n_heads = static_cast<int>(rows.heads.size());
    const int64_t from = std::max(cells_.keys.begin, first_seen(lane_, step_));
    for (const std::span<const float> weights : rows.heads) {
      const int64_t end = std::min({cells_.keys.end, step_ + 1, static_cast<int64_t>(weights.size())});
      for (int64_t key = from; key < end;) {
        const int64_t col = (key - cells_.keys.begin) / cells_.keys_per_col;
        const int64_t bin_end = std::min(cells_.keys.begin + (col + 1) * cells_.keys_per_col, end);
        float& cell = cells_.values[static_cast<size_t>(col)];
        for (; key < bin_end; ++key) take(cell, weights[static_cast<size_t>(key)]);
      }
    }
    return true;
  }

  bool blocks() {
    const HeadRows rows = head_rows(history_, "attention.mass", lane_, step_);
    if (!rows.row) return false;
    if (is_left(rows)) return true;
    cells_.keys.begin = cells_.keys.begin / kBlock * kBlock;
    cells_.keys.end = ceil_div(cells_.keys.end, kBlock) * kBlock;
    begin(LaneForm::kBlockMass, rows.row, kBlock);
    cells_.n_heads = static_cast<int>(rows.heads.size());
    const int64_t first = cells_.keys.begin / kBlock;
    for (const std::span<const float> masses : rows.heads) {
      const int64_t end = std::min({first + cells_.cols, step_ / kBlock + 1, static_cast<int64_t>(masses.size())});
      for (int64_t block = std::max(first, first_seen(lane_, step_) / kBlock); block < end; ++block) {
        take(cells_.values[static_cast<size_t>(block - first)], masses[static_cast<size_t>(block)]);
      }
    }
    return true;
  }

  // Tap i of n reads key t - n + 1 + i.
  bool taps(int max_cols) {
    const FrameRow row = history_.row(*find_probe("conv.taps"), step_);
    const std::span<const float> values = row ? row.layer_f32(lane_.layer) : std::span<const float>{};
    if (values.empty()) return false;
    if (is_left({.row = row, .heads = {values}})) return true;
    begin(LaneForm::kTaps, row, bin_size(cells_.keys.size(), max_cols));
    const auto n = static_cast<int64_t>(conv_taps_in(history_.info().config.layers[static_cast<size_t>(lane_.layer)]));
    for (int64_t i = 0; i < std::min(n, static_cast<int64_t>(values.size())); ++i) {
      const int64_t key = step_ - n + 1 + i;
      if (key < std::max<int64_t>(cells_.keys.begin, 0) || key >= cells_.keys.end) continue;
      take(cells_.values[static_cast<size_t>((key - cells_.keys.begin) / cells_.keys_per_col)],
           values[static_cast<size_t>(i)]);
    }
    return true;
  }

  void finish() {
    for (const float value : cells_.values) {
      if (std::fabs(value) > cells_.most) cells_.most = std::fabs(value);
    }
    const int64_t first = cells_.form == LaneForm::kLeft ? 0 : first_seen(lane_, step_);
    if (first > cells_.keys.begin) cells_.unseen = {cells_.keys.begin, std::min(first, cells_.keys.end)};
  }

 private:
  // A recorded row of an iteration that the token was not in: the lane is no more than that.
  bool is_left(const HeadRows& rows) {
    if (!std::ranges::all_of(rows.heads, is_blank)) return false;
    cells_.form = LaneForm::kLeft;
    cells_.row = rows.row;
    return true;
  }

  void begin(LaneForm form, const FrameRow& row, int64_t keys_per_col) {
    cells_.form = form;
    cells_.row = row;
    cells_.keys_per_col = keys_per_col;
    cells_.cols = static_cast<int>(ceil_div(std::max<int64_t>(cells_.keys.size(), 0), keys_per_col));
    cells_.values.assign(static_cast<size_t>(cells_.cols), kNan);
  }

  const FrameHistory& history_;
  const MixingLane& lane_;
  const int64_t step_;
  LaneCells& cells_;
};

LaneRow attention_lane_row(const FrameHistory& history, const MixingLane& lane, int32_t head, int64_t step) {
  LaneRow row;
  AttentionBars bars = attention_bars(history, {.step = step, .layer = lane.layer, .head = head});
  if (!bars.row) return row;
  row.row = bars.row;
  row.form = bars.exact ? LaneForm::kExact : LaneForm::kBlockMass;
  row.keys_per_value = bars.exact ? 1 : kBlock;
  row.values = bars.exact ? std::move(bars.weights) : std::move(bars.mass);
  row.left_out = bars.exact ? 0 : bars.left_out;
  for (const AttentionBars::Top& top : bars.top) {
    if (!bars.exact) row.top.emplace_back(top.key, top.weight);
  }
  if (is_blank(row.values) && row.top.empty()) return {.form = LaneForm::kLeft, .row = bars.row};
  const auto unseen = static_cast<size_t>(first_seen(lane, step) / row.keys_per_value);
  std::fill_n(row.values.begin(), std::min(unseen, row.values.size()), kNan);
  return row;
}

}  // namespace

const char* lane_form_name(LaneForm form) {
  switch (form) {
    case LaneForm::kMissing:
      return "not recorded";
    case LaneForm::kExact:
      return "exact";
    case LaneForm::kBlockMass:
      return "block mass";
    case LaneForm::kImplied:
      return "implied, signed";
    case LaneForm::kTaps:
      return "taps";
    case LaneForm::kLeft:
      return "left the loop";
  }
  return "";
}

const char* why_missing(LaneKind kind) {
  switch (kind) {
    case LaneKind::kState:
      return "implied rows are computed again: of a selected step and layer, by shot --model, or export --recompute";
    case LaneKind::kFastWeights:
      return "nothing says which tokens weights that learn read from";
    case LaneKind::kAttention:
      return "neither attention.row nor attention.mass is recorded at this step";
    case LaneKind::kTaps:
      break;
  }
  return "conv.taps is not recorded at this step";
}

std::vector<MixingLane> mixing_lanes(const ModelConfig& config) {
  std::vector<MixingLane> lanes;
  for (int32_t layer = 0; layer < config.n_layers(); ++layer) {
    const LayerConfig& own = config.layers[static_cast<size_t>(layer)];
    const auto add = [&](LaneKind kind, MixerKind mixer, int32_t n_heads, int64_t window = 0) {
      lanes.push_back({layer, kind, lane_name(config, layer, mixer_name(own, mixer)), n_heads, window});
    };
    for (const MixerKind mixer : own.mixers) {
      switch (mixer) {
        case MixerKind::kAttention:
          add(LaneKind::kAttention, mixer, attention_heads_in(own), own.attention.window);
          break;
        case MixerKind::kMatrixState:
          add(LaneKind::kState, mixer, state_heads_in(own));
          break;
        case MixerKind::kFastWeights:
          add(LaneKind::kFastWeights, mixer, 0);
          break;
        case MixerKind::kShortConv:
          break;  // below, with those that recurrences have
      }
    }
    if (conv_taps_in(own) > 0) add(LaneKind::kTaps, MixerKind::kShortConv, 0);
  }
  return lanes;
}

LaneCells lane_cells(const FrameHistory& history, const MixingLane& lane, int64_t step, StepRange keys, int max_cols,
                     bool prefers_blocks) {
  LaneCells cells;
  cells.keys = keys;
  if (step < 0 || keys.size() <= 0) return cells;
  Filler filler(history, lane, step, cells);
  switch (lane.kind) {
    case LaneKind::kAttention:
      if (prefers_blocks && filler.blocks()) break;
      if (filler.keys_of("attention.row", LaneForm::kExact, max_cols, true) || filler.blocks()) break;
      filler.keys_of("attention.row", LaneForm::kExact, max_cols, false);
      break;
    case LaneKind::kState:
      filler.keys_of("state.row", LaneForm::kImplied, max_cols, false);
      break;
    case LaneKind::kTaps:
      filler.taps(max_cols);
      break;
    case LaneKind::kFastWeights:
      break;  // nothing says which tokens weights that learn read from
  }
  filler.finish();
  return cells;
}

LaneRow lane_row(const FrameHistory& history, const MixingLane& lane, int32_t head, int64_t step) {
  LaneRow row;
  if (step < 0) return row;
  if (lane.kind == LaneKind::kAttention) return attention_lane_row(history, lane, head, step);
  if (lane.kind == LaneKind::kState) {
    ImpliedRow implied = implied_row(history, {.step = step, .layer = lane.layer, .head = head});
    if (!implied.row) return row;
    if (is_blank(implied.weights)) return {.form = LaneForm::kLeft, .row = implied.row};
    return {.form = LaneForm::kImplied, .values = std::move(implied.weights), .row = implied.row};
  }
  const LaneCells cells = lane_cells(history, lane, step, {0, step + 1}, std::numeric_limits<int>::max());
  row = {.form = cells.form, .values = cells.values, .row = cells.row};
  return row;
}

bool is_long_for_rows(const FrameHistory& history, int64_t step) {
  int64_t n_heads = 0;
  for (const LayerConfig& layer : history.info().config.layers) n_heads += attention_heads_in(layer);
  return n_heads * (step + 1) > kMostWeights;
}

}  // namespace orrery

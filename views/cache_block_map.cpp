#include "views/cache_block_map.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/routing_cells.h"

namespace orrery {
namespace {

constexpr float kStripHeight = 8;
constexpr float kLeastMapHeight = 16;
constexpr float kLeastCell = 3;
constexpr float kMostPitch = 22;  // of a layer's row
constexpr size_t kMostRuns = 400;

bool any_gone(const CacheBlocks& blocks) {
  return std::ranges::any_of(blocks.gone, [](int64_t n) { return n >= CacheBlocks::kBlock; });
}

Paint segment_paint(Segment segment) {
  switch (segment) {
    case Segment::kSystem:
      return Paint::of(ColourRole::kSeries6, 0.5f);
    case Segment::kUser:
      return Paint::of(ColourRole::kSeries6);
    case Segment::kAssistant:
      return Paint::of(ColourRole::kSeries4);
    case Segment::kForced:
      return Paint::of(ColourRole::kSeries3);
    case Segment::kGenerated:
      return Paint::of(ColourRole::kSeries1);
  }
  return Paint::of(ColourRole::kMuted);
}

}  // namespace

float CacheBlockMap::x_of(const Rect& plot, int64_t token) const {
  return plot.x + static_cast<float>(static_cast<double>(token) / static_cast<double>(n_tokens_)) * plot.width;
}

int64_t CacheBlockMap::blocks_per_cell(const Rect& plot, const CacheBlocks& blocks) const {
  return bin_size(std::max<int64_t>(blocks.n_blocks, 1), static_cast<int>(plot.width / kLeastCell));
}

float CacheBlockMap::wanted_height() const {
  const auto n_layers = static_cast<float>(attention_layers(history_.info().config).size());
  const float each = b_.scale_bar_height() + 8 + kMostPitch * n_layers;
  return 2 * (b_.label() + 4) + kStripHeight + 3 + 2 * each;
}

void CacheBlockMap::draw(const Rect& area) {
  const CacheBlocks blocks = cache_blocks(history_, now_.step);
  if (blocks.layers.empty() || blocks.n_blocks == 0) return;
  const float lh = b_.label();
  gutter_ = std::min(b_.names_width(history_.info(), blocks.layers), area.width * 0.35f) + 8;
  const float heading = lh + 3 + kStripHeight + 4;
  const float foot = lh + 4;
  const float above = b_.scale_bar_height() + 4;
  const float rest = area.height - heading - foot;
  const auto fits = static_cast<int>(rest / (above + kLeastMapHeight));
  if (fits < 1 || area.width - gutter_ < 60) return;
  Rect plot = area.inset(gutter_, heading, 2, 0);
  const int64_t per_cell = blocks_per_cell(plot, blocks);
  n_tokens_ = ceil_div(blocks.n_blocks, per_cell) * per_cell * CacheBlocks::kBlock;
  owners(area, {plot.x, area.y + lh + 3, plot.width, kStripHeight}, any_gone(blocks));
  const bool has_received = blocks.n_received > 0;
  const int n_maps = std::min(fits, 2);
  const float pitch =
      std::min(rest / static_cast<float>(n_maps), above + 4 + kMostPitch * static_cast<float>(blocks.layers.size()));
  const auto place = [&](int i) {
    return Rect{plot.x, plot.y + static_cast<float>(i) * pitch + above, plot.width, pitch - above - 4};
  };
  const std::string over = has_received ? "steps " + std::to_string(blocks.received_steps.begin) + "–" +
                                              std::to_string(blocks.received_steps.end - 1)
                                        : "";
  // Of one map, the one that is there.
  if (has_received || n_maps == 2) {
    map(place(0), blocks, blocks.received,
        {.title =
             has_received ? "attention received, mean of heads, sum of " + over : "attention received: not recorded",
         .tile = "received attention",
         .probe = "attention.mass",
         .transfer = Transfer::kSquareRoot,
         .is_last = n_maps == 1});
  }
  if (!has_received || n_maps == 2) {
    map(place(n_maps - 1), blocks, blocks.age,
        {.title = "age of what is held: tokens since it was written",
         .tile = "age",
         .probe = "cache.evicted",
         .unit = "tokens",
         .is_last = true});
  }
  provenance(blocks, has_received);
}

// One box a run of tokens; a legend of the segments that there are.
void CacheBlockMap::owners(const Rect& area, const Rect& plot, bool with_gone) {
  const std::vector<SegmentRun> runs = segment_runs(history_.tokens(), now_.step + 1);
  std::vector<std::pair<std::string, Paint>> names;
  for (size_t i = 0; i < std::min(runs.size(), kMostRuns); ++i) {
    const SegmentRun& run = runs[i];
    b_.box({x_of(plot, run.begin), plot.y, x_of(plot, run.end) - x_of(plot, run.begin), plot.height},
           segment_paint(run.segment));
    const std::string name = segment_name(run.segment);
    const bool known = std::ranges::any_of(names, [&](const auto& one) { return one.first == name; });
    if (!known) names.emplace_back(name, segment_paint(run.segment));
  }
  if (with_gone) names.emplace_back("left the window", Paint::of(ColourRole::kGrid));
  const float y = area.y + b_.label() / 2;
  const float used =
      b_.label({area.x, y}, "blocks of 64 keys", area.width, Align::kLeft, Paint::of(ColourRole::kForeground));
  b_.legend({area.x + used + 16, y}, area.width - used - 16, names);
  Series series{.name = "owner by block", .probe = "", .unit = "tokens", .x_name = "block of 64 keys"};
  for (const BlockOwner& owner : block_owners(history_.tokens(), now_.step + 1)) {
    series.x.push_back(static_cast<double>(series.x.size()));
    series.y.push_back(static_cast<double>(owner.n_tokens));
    series.labels.emplace_back(segment_name(owner.segment));
  }
  b_.scene.series.push_back(std::move(series));
}

void CacheBlockMap::map(const Rect& plot, const CacheBlocks& blocks, const std::vector<float>& values,
                        const Drawn& drawn) {
  float high = 0;
  for (const float value : values) high = value > high ? value : high;
  const int scale = b_.scene.add_scale({.low = 0, .high = high > 0 ? high : 1, .transfer = drawn.transfer});
  const float bar = std::min(plot.width * 0.4f, 150.0f);
  const float title_y = plot.y - b_.scale_bar_height() - 4 + b_.label() / 2;
  b_.label({plot.x, title_y}, drawn.title, plot.width - bar - 8, Align::kLeft, Paint::of(ColourRole::kForeground));
  b_.scale_bar({plot.right() - bar, title_y - b_.label() / 2 + 1, bar, 0}, scale, "", format_value);
  // Grey shows through where keys are gone.
  const float filled = x_of(plot, std::min(blocks.n_blocks * CacheBlocks::kBlock, n_tokens_)) - plot.x;
  b_.box({plot.x, plot.y, filled, plot.height}, SceneBuilder::blank());
  const float pitch = plot.height / static_cast<float>(blocks.layers.size());
  for (size_t row = 0; row < blocks.layers.size(); ++row) {
    const auto n = static_cast<size_t>(blocks.n_blocks);
    const std::span<const float> cells = std::span(values).subspan(row * n, n);
    const bool none = std::ranges::all_of(cells, [](float value) { return std::isnan(value); });
    if (none) b_.hatch({plot.x, plot.y + static_cast<float>(row) * pitch, filled, pitch});
  }
  tile(plot, blocks, values, drawn, scale);
}

void CacheBlockMap::tile(const Rect& plot, const CacheBlocks& blocks, const std::vector<float>& values,
                         const Drawn& drawn, int scale) {
  const int64_t per_cell = blocks_per_cell(plot, blocks);
  SceneAxis rows = layer_rows(history_.info(), blocks.layers);
  b_.row_names(rows, plot, gutter_ - 6, now_.layer);
  SceneAxis cols{.name = "key",
                 .unit = "token",
                 .means = SceneAxis::Means::kKey,
                 .end = now_.step + 1,
                 .per_cell = per_cell * CacheBlocks::kBlock};
  if (drawn.is_last) {
    const auto high = static_cast<double>(n_tokens_);
    cols.ticks = b_.axis(
        {.plot = plot,
         .high = high,
         .ticks = round_ticks(0, static_cast<double>(now_.step), std::max(1, static_cast<int>(plot.width / 70)), true),
         .grid = false});
  }
  const auto n_rows = static_cast<int>(blocks.layers.size());
  const auto n_cols = static_cast<int>(ceil_div(blocks.n_blocks, per_cell));
  const int row_axis = b_.scene.add_axis(std::move(rows)), col_axis = b_.scene.add_axis(std::move(cols));
  const int tile = b_.scene.add(Tile{.name = drawn.tile,
                                     .rect = plot,
                                     .rows = n_rows,
                                     .cols = n_cols,
                                     .values = greatest_in_bins(values, blocks.n_blocks, per_cell),
                                     .scale = scale,
                                     .row_axis = row_axis,
                                     .col_axis = col_axis,
                                     .probe = drawn.probe,
                                     .unit = drawn.unit});
  b_.scene.regions.push_back(
      {.rect = plot, .rows = n_rows, .cols = n_cols, .row_axis = row_axis, .col_axis = col_axis, .tile_item = tile});
  const float pitch = plot.height / static_cast<float>(n_rows);
  const auto found = std::ranges::find(blocks.layers, now_.layer);
  if (found != blocks.layers.end()) {
    const auto row = static_cast<float>(found - blocks.layers.begin());
    b_.box({plot.x, plot.y + row * pitch, plot.width, pitch}, Paint::none(), Paint::of(ColourRole::kAccent, 0.8f));
  }
  for (const auto& [key, paint] : {std::pair{state_.hovered.key, Paint::of(ColourRole::kHover, 0.7f)},
                                   std::pair{now_.key, Paint::of(ColourRole::kAccent)}}) {
    if (key < 0 || key > now_.step) continue;
    b_.rule({x_of(plot, key), plot.y}, {x_of(plot, key), plot.bottom()}, paint);
  }
  if (per_cell > 1) b_.note("Each cell of the block maps is the greatest of " + std::to_string(per_cell) + " blocks.");
}

void CacheBlockMap::provenance(const CacheBlocks& blocks, bool with_received) {
  if (any_gone(blocks)) {
    b_.note("Grey blocks have left the window: their keys were dropped, oldest first (cache.evicted).");
  }
  if (blocks.entries_row) b_.provenance(provenance_of(history_, blocks.entries_row));
  if (!with_received) return;
  Provenance p = provenance_of(history_, blocks.mass_row);
  p.step_begin = blocks.received_steps.begin;
  p.step_end = blocks.received_steps.end;
  p.note = "mean of the heads, sum of " + std::to_string(blocks.n_received) + " steps";
  b_.provenance(std::move(p));
}

}  // namespace orrery

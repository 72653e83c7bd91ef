#include "views/attention_cells.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "views/bins.h"
#include "views/frame_rows.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr size_t kMostTops = 32;

// The values of one head at a row, [per head...]; empty where the frame lacks the layer or the head.
std::span<const float> head_values(const FrameRow& row, int32_t layer, int32_t head) {
  const std::span<const float> values = row.layer_f32(layer);
  if (values.empty() || head < 0) return {};
  const auto& heads = row.frame->heads;
  int64_t index = head;
  int64_t n_heads = row.inner_shape()[0];
  if (!heads.empty()) {
    const auto found = std::find(heads.begin(), heads.end(), head);
    if (found == heads.end()) return {};
    index = found - heads.begin();
    n_heads = static_cast<int64_t>(heads.size());
  }
  if (index >= n_heads || n_heads <= 0) return {};
  const size_t width = values.size() / static_cast<size_t>(n_heads);
  return values.subspan(static_cast<size_t>(index) * width, width);
}

void raise(float& cell, float value) {
  if (std::isnan(cell) || value > cell) cell = value;
}

class MapBuilder {
 public:
  MapBuilder(const FrameHistory& history, const Selection& selection, AttentionMap& map)
      : history_(history), layer_(selection.layer), head_(selection.head), map_(map) {
    gathered_ = history.gathered_mass(selection.layer, selection.head);
  }

  void build(int max_rows, int max_cols) {
    map_.steps_per_row = bin_size(std::max<int64_t>(map_.steps.size(), 0), max_rows);
    if (gathered_ != nullptr && map_.steps.size() > 0) {
      map_.steps_per_row = int64_t{1} << gathered_->shown_level(map_.steps.begin, map_.steps.end, gathered_level(),
                                                                history_.n_processed());
    }
    // Rows begin at multiples of their steps: so they keep their contents while the zoom moves, and are those of the
    // gathered map.
    map_.steps.begin = map_.steps.begin / map_.steps_per_row * map_.steps_per_row;
    const int64_t whole_end = ceil_div(map_.steps.end, map_.steps_per_row) * map_.steps_per_row;
    map_.steps.end = std::min(whole_end, std::max(map_.steps.end, history_.n_processed()));
    const int64_t n_steps = std::max<int64_t>(map_.steps.size(), 0);
    map_.rows = static_cast<int>(ceil_div(n_steps, map_.steps_per_row));
    find_kinds();
    const bool any_block = map_.n_block_steps > 0;
    const bool both = any_block && map_.n_exact_steps > 0;
    map_.exact_rows = both ? hull(Kind::kExact) : AttentionMap::Rows{0, map_.rows};
    map_.block_rows = both ? hull(Kind::kBlock) : AttentionMap::Rows{0, map_.rows};
    if (any_block) {
      map_.keys.begin = map_.keys.begin / AttentionMap::kBlock * AttentionMap::kBlock;
      map_.keys.end = ceil_div(map_.keys.end, AttentionMap::kBlock) * AttentionMap::kBlock;
    }
    map_.keys_per_col = bin_size(map_.keys.size(), max_cols);
    map_.cols = static_cast<int>(ceil_div(map_.keys.size(), map_.keys_per_col));
    if (map_.n_exact_steps > 0) fill_exact();
    if (any_block) fill_blocks();
    find_missing();
  }

 private:
  enum class Kind : uint8_t { kMissing, kExact, kBlock };

  int row_of(int64_t step) const { return static_cast<int>((step - map_.steps.begin) / map_.steps_per_row); }
  size_t cell(int row, int64_t col, int cols) const {
    return static_cast<size_t>(row) * static_cast<size_t>(cols) + static_cast<size_t>(col);
  }

  AttentionMap::Rows hull(Kind kind) const {
    const auto first = std::find(kinds_.begin(), kinds_.end(), kind);
    const auto last = std::find(kinds_.rbegin(), kinds_.rend(), kind);
    return {static_cast<int>(first - kinds_.begin()), static_cast<int>(kinds_.rend() - last)};
  }

  // Cells of a row that is filled for the first time: zeros, since keys without weight (those after the step itself
  // too) have none, as in an export.
  static void begin_row(float* cells, int n_cells) {
    if (n_cells > 0 && std::isnan(cells[0])) std::fill_n(cells, n_cells, 0.0f);
  }

  // A row of cells is exact only where all its recorded steps are.
  void find_kinds() {
    const auto n = static_cast<size_t>(map_.rows);
    kinds_.assign(n, Kind::kMissing);
    std::vector<int> n_exact(n, 0);
    std::vector<int> n_block(n, 0);
    const auto count = [&](const char* name, std::vector<int>& counts) {
      const Probe* probe = find_probe(name);
      if (probe == nullptr) return;
      for_each_row(history_, *probe, map_.steps.begin, map_.steps.end, [&](const FrameRow& row) {
        if (!head_values(row, layer_, head_).empty()) ++counts[static_cast<size_t>(row_of(row.step))];
      });
    };
    count("attention.row", n_exact);
    if (gathered_ != nullptr) {
      for (size_t i = 0; i < n; ++i)
        n_block[i] = static_cast<int>(gathered_->n_steps(gathered_row(i), gathered_level()));
    } else {
      count("attention.mass", n_block);
    }
    for (size_t i = 0; i < n; ++i) {
      if (n_exact[i] > 0 && n_exact[i] >= n_block[i]) {
        kinds_[i] = Kind::kExact;
        map_.n_exact_steps += n_exact[i];
      } else if (n_block[i] > 0) {
        kinds_[i] = Kind::kBlock;
        map_.n_block_steps += n_block[i];
      }
    }
  }

  void fill_exact() {
    map_.exact.assign(cell(map_.exact_rows.size(), 0, map_.cols), kNan);
    for_each_row(history_, *find_probe("attention.row"), map_.steps.begin, map_.steps.end, [&](const FrameRow& row) {
      const int r = row_of(row.step);
      if (kinds_[static_cast<size_t>(r)] != Kind::kExact) return;
      const std::span<const float> weights = head_values(row, layer_, head_);
      if (weights.empty()) return;
      map_.exact_row = row;
      float* cells = map_.exact.data() + cell(r - map_.exact_rows.begin, 0, map_.cols);
      begin_row(cells, map_.cols);
      const int64_t end = std::min({map_.keys.end, static_cast<int64_t>(weights.size()), row.step + 1});
      int64_t key = map_.keys.begin;
      for (int64_t col = 0; key < end; ++col) {
        const int64_t bin_end = std::min(key + map_.keys_per_col, end);
        float most = weights[static_cast<size_t>(key)];
        for (++key; key < bin_end; ++key) most = std::max(most, weights[static_cast<size_t>(key)]);
        cells[col] = std::max(cells[col], most);
        map_.highest = std::max(map_.highest, most);
      }
    });
  }

  void fill_blocks() {
    constexpr int64_t kBlock = AttentionMap::kBlock;
    map_.block_cols = static_cast<int>(map_.keys.size() / kBlock);
    map_.mass.assign(cell(map_.block_rows.size(), 0, map_.block_cols), kNan);
    const int64_t first_block = map_.keys.begin / kBlock;
    if (gathered_ != nullptr) return fill_gathered(first_block);
    for_each_row(history_, *find_probe("attention.mass"), map_.steps.begin, map_.steps.end, [&](const FrameRow& row) {
      const int r = row_of(row.step);
      if (kinds_[static_cast<size_t>(r)] != Kind::kBlock) return;
      const std::span<const float> masses = head_values(row, layer_, head_);
      if (masses.empty()) return;
      map_.mass_row = row;
      float* cells = map_.mass.data() + cell(r - map_.block_rows.begin, 0, map_.block_cols);
      begin_row(cells, map_.block_cols);
      const int64_t end = std::min(static_cast<int64_t>(masses.size()), row.step / kBlock + 1);
      for (int64_t block = first_block; block < std::min(end, first_block + map_.block_cols); ++block) {
        const float mass = masses[static_cast<size_t>(block)];
        cells[block - first_block] = std::max(cells[block - first_block], mass);
        map_.highest = std::max(map_.highest, mass);
      }
    });
    fill_marks();
  }

  // The same cells, copied.
  void fill_gathered(int64_t first_block) {
    const auto begin = static_cast<size_t>(first_block);
    for (int r = map_.block_rows.begin; r < map_.block_rows.end; ++r) {
      if (kinds_[static_cast<size_t>(r)] != Kind::kBlock) continue;
      float* cells = map_.mass.data() + cell(r - map_.block_rows.begin, 0, map_.block_cols);
      std::fill_n(cells, map_.block_cols, 0.0f);
      const std::span<const float> row = gathered_->row(gathered_row(static_cast<size_t>(r)), gathered_level());
      if (row.size() <= begin) continue;
      const std::span<const float> seen =
          row.subspan(begin, std::min(row.size() - begin, static_cast<size_t>(map_.block_cols)));
      std::ranges::copy(seen, cells);
      if (!seen.empty()) map_.highest = std::max(map_.highest, *std::ranges::max_element(seen));
    }
    map_.mass_row = {.frame = gathered_->source(), .step = map_.steps.begin};
    fill_marks();
  }

  int64_t gathered_row(size_t row) const { return map_.steps.begin / map_.steps_per_row + static_cast<int64_t>(row); }
  int gathered_level() const { return std::countr_zero(static_cast<uint64_t>(map_.steps_per_row)); }

  void fill_marks() {
    const Probe* probe = find_probe("attention.top");
    if (probe == nullptr || map_.steps_per_row > AttentionMap::kMostMarkedStepsOfARow) return;
    if (map_.steps.size() > AttentionMap::kMostMarkedSteps) return;
    map_.marks.assign(cell(map_.block_rows.size(), 0, map_.cols), kNan);
    for_each_row(history_, *probe, map_.steps.begin, map_.steps.end, [&](const FrameRow& row) {
      const int r = row_of(row.step);
      if (kinds_[static_cast<size_t>(r)] != Kind::kBlock) return;
      const std::span<const float> top = head_values(row, layer_, head_);
      float* cells = map_.marks.data() + cell(r - map_.block_rows.begin, 0, map_.cols);
      for (size_t i = 0; i + 1 < top.size(); i += 2) {
        const auto key = static_cast<int64_t>(top[i]);
        if (key < map_.keys.begin || key >= map_.keys.end) continue;
        raise(cells[(key - map_.keys.begin) / map_.keys_per_col], top[i + 1]);
      }
    });
  }

  void find_missing() {
    for (int row = 0; row < map_.rows; ++row) {
      if (kinds_[static_cast<size_t>(row)] != Kind::kMissing) continue;
      if (!map_.missing.empty() && map_.missing.back().end == row) {
        ++map_.missing.back().end;
      } else {
        map_.missing.push_back({row, row + 1});
      }
    }
  }

  const FrameHistory& history_;
  const int32_t layer_;
  const int32_t head_;
  AttentionMap& map_;
  const HeadMassMap* gathered_ = nullptr;  // where the history gathers this head
  std::vector<Kind> kinds_;
};

void fill_top(AttentionBars& bars) {
  bars.top.reserve(bars.weights.size());
  for (size_t key = 0; key < bars.weights.size(); ++key) {
    bars.top.push_back({static_cast<int64_t>(key), bars.weights[key]});
  }
  const size_t n = std::min(bars.top.size(), kMostTops);
  std::partial_sort(
      bars.top.begin(), bars.top.begin() + static_cast<std::ptrdiff_t>(n), bars.top.end(),
      [](const auto& a, const auto& b) { return a.weight != b.weight ? a.weight > b.weight : a.key < b.key; });
  bars.top.resize(n);
}

}  // namespace

HeadCells head_cells(const FrameHistory& history, const HeadScalar& scalar, int64_t step) {
  HeadCells cells;
  const Probe* probe = find_probe(scalar.name);
  if (probe == nullptr) return cells;
  const ModelConfig& config = history.info().config;
  cells.layers = probe->layers(config);
  for (const int32_t layer : cells.layers) {
    cells.n_heads = std::max(cells.n_heads, config.layers[static_cast<size_t>(layer)].attention.n_heads);
  }
  cells.values.assign(cells.layers.size() * static_cast<size_t>(cells.n_heads), kNan);
  cells.row = history.row(*probe, step);
  if (cells.row) {
    for (size_t i = 0; i < cells.layers.size(); ++i) {
      const std::span<const float> values = cells.row.layer_f32(cells.layers[i]);
      const auto n_heads = static_cast<size_t>(config.layers[static_cast<size_t>(cells.layers[i])].attention.n_heads);
      for (size_t head = 0; head < std::min(values.size(), n_heads); ++head) {
        cells.values[i * static_cast<size_t>(cells.n_heads) + head] = values[head];
        if (values[head] > cells.high) cells.high = values[head];
      }
    }
  }
  if (scalar.fixed_high > 0) cells.high = scalar.fixed_high;
  return cells;
}

AttentionMap attention_map(const FrameHistory& history, const Selection& selection, StepRange steps, StepRange keys,
                           int max_rows, int max_cols) {
  AttentionMap map;
  map.steps = steps;
  map.keys = keys;
  MapBuilder(history, selection, map).build(max_rows, max_cols);
  return map;
}

AttentionBars attention_bars(const FrameHistory& history, const Selection& selection) {
  AttentionBars bars;
  const ModelConfig& config = history.info().config;
  if (selection.step < 0 || selection.layer < 0 || selection.layer >= config.n_layers()) return bars;
  // The head may be one of a recurrent state beside it.
  const LayerConfig& own = config.layers[static_cast<size_t>(selection.layer)];
  if (selection.head < 0 || selection.head >= n_heads_of(own, MixerKind::kAttention)) return bars;
  const auto values_of = [&](const char* name, FrameRow& row) -> std::span<const float> {
    const Probe* probe = find_probe(name);
    row = probe == nullptr ? FrameRow{} : history.row(*probe, selection.step);
    return row ? head_values(row, selection.layer, selection.head) : std::span<const float>{};
  };
  FrameRow row;
  if (const FrameRow exact =
          history.row_of(*find_probe("attention.row"), selection.step, selection.layer, selection.head)) {
    const std::span<const float> weights = head_values(exact, selection.layer, selection.head);
    bars.exact = true;
    bars.row = exact;
    const size_t n = std::min(weights.size(), static_cast<size_t>(selection.step) + 1);
    bars.weights.assign(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(n));
    fill_top(bars);
  } else if (const std::span<const float> top = values_of("attention.top", row); !top.empty()) {
    bars.row = row;
    for (size_t i = 0; i + 1 < top.size(); i += 2) {
      if (top[i] >= 0) bars.top.push_back({static_cast<int64_t>(top[i]), top[i + 1]});
    }
    FrameRow other;
    const std::span<const float> rest = values_of("attention.rest", other);
    bars.left_out = rest.empty() ? kNan : rest[0];
  }
  if (const std::span<const float> mass = values_of("attention.mass", row); !mass.empty()) {
    bars.mass_row = row;
    const size_t n = std::min(mass.size(), static_cast<size_t>(selection.step / AttentionMap::kBlock) + 1);
    bars.mass.assign(mass.begin(), mass.begin() + static_cast<std::ptrdiff_t>(n));
    if (!bars.row) {
      bars.row = row;
      bars.left_out = kNan;
    }
  }
  return bars;
}

}  // namespace orrery

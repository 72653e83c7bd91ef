#include "views/head_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/scene_builder.h"
#include "views/step_cells.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The heads of a source over the steps of a column. Nearly always all heads have all steps: one weight then serves all.
struct HeadSums {
  std::span<const double> sums;  // of value times steps
  double weight = 0;             // steps
  std::span<const double> lost;  // steps without a value, head by head; empty: none
};

// What heads are together, one after the other. One class for each way, so that drawing many columns does not choose
// anew for every head.
template <Together kTogether>
class Taken {
 public:
  void add(double x) {
    ++n_;
    if constexpr (kTogether == Together::kRootOfSquares) {
      sum_ += x * x;
    } else if constexpr (kTogether == Together::kGeometricMean) {
      multiply(x);
    } else {
      sum_ += x;
    }
  }
  void add(const Taken& others) {
    n_ += others.n_;
    sum_ += others.sum_;
    if constexpr (kTogether == Together::kGeometricMean) multiply(others.product_);
  }
  float value() const {
    if (n_ == 0) return kNan;
    if constexpr (kTogether == Together::kRootOfSquares) return static_cast<float>(std::sqrt(sum_));
    if constexpr (kTogether == Together::kGeometricMean) {
      return static_cast<float>(std::exp((sum_ + std::log(product_)) / n_));
    }
    return static_cast<float>(sum_ / n_);
  }

 private:
  // One logarithm for many heads: taken where the product would leave the range of a double.
  void multiply(double x) {
    product_ *= x;
    if (product_ < 1e-200 || product_ > 1e200) {
      sum_ += std::log(product_);
      product_ = 1;
    }
  }

  double sum_ = 0;
  double product_ = 1;
  int n_ = 0;
};

// Heads of which nothing is held do not count. Four sums take them in turn, since one that waits for itself at every
// head takes four times as long.
template <Together kTogether>
float together(const HeadSums& heads) {
  constexpr size_t kSums = 4;
  std::array<Taken<kTogether>, kSums> taken;
  const size_t n = heads.sums.size();
  if (heads.lost.empty()) {
    if (!(heads.weight > 0)) return kNan;
    const double share = 1 / heads.weight;
    const auto mean_of = [&](size_t i) { return static_cast<double>(static_cast<float>(heads.sums[i] * share)); };
    const size_t n_in_turn = n / kSums * kSums;
    for (size_t i = 0; i < n_in_turn; i += kSums) {
      for (size_t k = 0; k < kSums; ++k) taken[k].add(mean_of(i + k));
    }
    for (size_t i = n_in_turn; i < n; ++i) taken[0].add(mean_of(i));
  } else {
    for (size_t i = 0; i < n; ++i) {
      const double weight = heads.weight - heads.lost[i];
      if (weight > 0) taken[i % kSums].add(static_cast<double>(static_cast<float>(heads.sums[i] * (1 / weight))));
    }
  }
  for (size_t k = 1; k < kSums; ++k) taken[0].add(taken[k]);
  return taken[0].value();
}

float together(Together how, const HeadSums& heads) {
  switch (how) {
    case Together::kRootOfSquares:
      return together<Together::kRootOfSquares>(heads);
    case Together::kGeometricMean:
      return together<Together::kGeometricMean>(heads);
    case Together::kMean:
      break;
  }
  return together<Together::kMean>(heads);
}

// The least and the greatest of what is finite.
void set_range(const HeadQuantity& quantity, HeadMap& map) {
  map.low = map.high = 0;
  bool any = false;
  for (const float value : map.values) {
    if (!std::isfinite(value)) continue;
    map.low = any ? std::min(map.low, value) : value;
    map.high = any ? std::max(map.high, value) : value;
    any = true;
  }
  if (quantity.from_zero) map.low = 0;
}

class MapBuilder {
 public:
  MapBuilder(const FrameHistory& history, const HeadQuantity& quantity, HeadMap& map)
      : history_(history), quantity_(quantity), probe_(*find_probe(quantity.probe)), map_(map) {}

  void layers_as_rows() {
    const RunInfo& info = history_.info();
    for (const int32_t layer : probe_.layers(info.config)) {
      if (quantity_.is_in != nullptr && !quantity_.is_in(info.config.layers[static_cast<size_t>(layer)])) continue;
      map_.rows.push_back(layer);
      map_.labels.push_back(layer_name(info, layer));
      const LayerConfig& config = info.config.layers[static_cast<size_t>(layer)];
      sources_.push_back({layer, 0, probe_.has_axis(Axis::kHead) ? n_heads_of(config, quantity_.kind) : 1});
    }
  }

  void heads_as_rows(int32_t layer, int max_rows) {
    const LayerConfig& config = history_.info().config.layers[static_cast<size_t>(layer)];
    const int32_t n_heads = n_heads_of(config, quantity_.kind);
    map_.heads_per_row = bin_size(n_heads, max_rows);
    for (int32_t head = 0; head < n_heads; head += static_cast<int32_t>(map_.heads_per_row)) {
      const int32_t end = std::min(n_heads, head + static_cast<int32_t>(map_.heads_per_row));
      map_.rows.push_back(head);
      map_.labels.push_back(heads_label(config, head, end));
      sources_.push_back({layer, head, end});
    }
  }

  void fill(int max_cols) {
    cells_ = step_cells(probe_, map_.steps);
    map_.steps.begin = cells_.steps.begin;
    const int64_t n_steps = std::max<int64_t>(map_.steps.size(), 0);
    map_.steps_per_col = std::max(bin_size(n_steps, max_cols), cells_.cell_steps());
    map_.cols = static_cast<int>(ceil_div(n_steps, map_.steps_per_col));
    fill_columns();
    find_missing();
    set_range(quantity_, map_);
  }

 private:
  struct Source {
    int32_t layer = 0;
    int32_t head_begin = 0;
    int32_t head_end = 0;
  };

  static std::string heads_label(const LayerConfig& config, int32_t begin, int32_t end) {
    const auto without_kind = [&](int32_t head) {
      const std::string name = state_head_name(config, head);
      return name.substr(name.find(' ') + 1);
    };
    if (end - begin == 1) return without_kind(begin);
    const std::string first = without_kind(begin);
    const std::string last = without_kind(end - 1);
    const std::string dash = "–";
    const size_t after = last.find(dash);
    return first.substr(0, first.find(dash)) + dash +
           (after == std::string::npos ? last : last.substr(after + dash.size()));
  }

  void fill_columns() {
    columns_.assign(static_cast<size_t>(map_.cols), false);
    map_.values.assign(sources_.size() * columns_.size(), kNan);
    size_t n_heads = 0;
    for (const Source& source : sources_) n_heads += static_cast<size_t>(source.head_end - source.head_begin);
    size_t open = columns_.size();
    for_each_cell(history_, probe_, cells_, [&](const FrameRow& row, int64_t n_steps) {
      const auto col = static_cast<size_t>((row.step - map_.steps.begin) / map_.steps_per_col);
      if (col != open) {
        if (open < columns_.size()) fill_column(open);
        open = col;
        columns_[col] = true;
        begin_column(n_heads);
      }
      map_.row = row;
      add_row(row, static_cast<double>(n_steps));
    });
    if (open < columns_.size()) fill_column(open);
  }

  void begin_column(size_t n_heads) {
    sums_.assign(n_heads, 0);
    weights_.assign(sources_.size(), 0);
    lost_.clear();
  }

  // One more row of the column that is being filled. This is where drawing many steps spends its time: a row of a layer
  // without missing values, nearly every one, is summed up without asking at every head.
  void add_row(const FrameRow& row, double weight) {
    const auto stride = static_cast<int64_t>(probe_.has_axis(Axis::kField) ? probe_.fields.size() : 1);  // the first
    find_places(*row.frame, stride);
    const std::span<const float> values = row.f32();
    size_t at = 0;
    for (size_t i = 0; i < sources_.size(); ++i) {
      const auto n_heads = static_cast<size_t>(sources_[i].head_end - sources_[i].head_begin);
      const auto n = static_cast<size_t>(places_[i].n);
      const float* const first = values.data() + places_[i].first;
      weights_[i] += weight;
      const bool complete = n == n_heads && (stride == 1 ? add_heads<1>(first, n, weight, at)
                                                         : add_heads<0>(first, n, weight, at, stride));
      if (!complete) add_known_heads(first, n, n_heads, weight, at, stride);
      at += n_heads;
    }
  }

  // Adds n heads from sum `at` on, unless one is missing, which it returns. kStride: known where compilers are to make
  // vectors of it, else 0.
  template <int64_t kStride>
  bool add_heads(const float* first, size_t n, double weight, size_t at, int64_t stride = kStride) {
    const auto step = static_cast<size_t>(kStride > 0 ? kStride : stride);
    int n_missing = 0;
    for (size_t head = 0; head < n; ++head) n_missing += std::isnan(first[head * step]) ? 1 : 0;
    if (n_missing > 0) return false;
    double* const sums = sums_.data() + at;
    for (size_t head = 0; head < n; ++head) sums[head] += weight * static_cast<double>(first[head * step]);
    return true;
  }

  void add_known_heads(const float* first, size_t n, size_t n_heads, double weight, size_t at, int64_t stride) {
    lost_.resize(sums_.size(), 0);
    for (size_t head = 0; head < n_heads; ++head) {
      const float value = head < n ? first[head * static_cast<size_t>(stride)] : kNan;
      (std::isnan(value) ? lost_ : sums_)[at + head] +=
          std::isnan(value) ? weight : weight * static_cast<double>(value);
    }
  }

  // Where the sources lie in a row: the same for all steps of a frame.
  void find_places(const Frame& frame, int64_t stride) {
    if (frame_ == &frame) return;
    frame_ = &frame;
    places_.clear();
    const int64_t n_layers = std::max<int64_t>(static_cast<int64_t>(frame.layers.size()), 1);
    const int64_t width = frame.values_per_step() / n_layers;
    for (const Source& source : sources_) {
      const int64_t layer = frame.layer_index(source.layer);
      const int64_t n_here = layer < 0 ? 0 : ceil_div(width, stride);
      places_.push_back({std::max<int64_t>(layer, 0) * width + source.head_begin * stride,
                         std::max<int64_t>(std::min<int64_t>(source.head_end, n_here) - source.head_begin, 0)});
    }
  }

  void fill_column(size_t col) {
    size_t at = 0;
    for (size_t i = 0; i < sources_.size(); ++i) {
      const auto n = static_cast<size_t>(sources_[i].head_end - sources_[i].head_begin);
      const std::span<const double> lost = lost_;
      const float value = together(quantity_.together, {std::span<const double>(sums_).subspan(at, n), weights_[i],
                                                        lost.empty() ? lost : lost.subspan(at, n)});
      map_.values[i * columns_.size() + col] = quantity_.shown == nullptr ? value : quantity_.shown(value);
      at += n;
    }
  }

  void find_missing() {
    for (size_t col = 0; col < columns_.size(); ++col) {
      if (columns_[col]) continue;
      const int64_t begin = map_.steps.begin + static_cast<int64_t>(col) * map_.steps_per_col;
      const int64_t end = begin + map_.steps_per_col;
      if (!map_.missing.empty() && map_.missing.back().end == begin) {
        map_.missing.back().end = end;
      } else {
        map_.missing.push_back({begin, end});
      }
    }
  }

  const FrameHistory& history_;
  const HeadQuantity& quantity_;
  const Probe& probe_;
  HeadMap& map_;
  StepCells cells_;
  std::vector<Source> sources_;  // of rows
  std::vector<bool> columns_;    // whether anything is held
  // Of the column that is being filled: by head, source after source; by source; by head, empty where none is lost.
  std::vector<double> sums_, weights_, lost_;
  struct Place {
    int64_t first = 0;  // value of a row
    int64_t n = 0;      // heads
  };
  const Frame* frame_ = nullptr;  // whose places these are
  std::vector<Place> places_;     // of sources
};

}  // namespace

const char* together_note(Together together) {
  switch (together) {
    case Together::kRootOfSquares:
      return "heads together: root of the sum of squares";
    case Together::kGeometricMean:
      return "geometric mean of the heads";
    case Together::kMean:
      return "mean of the heads";
  }
  return "";
}

HeadMap head_map(const FrameHistory& history, const HeadQuantity& quantity, std::optional<int32_t> layer,
                 StepRange steps, int max_rows, int max_cols) {
  HeadMap map;
  map.steps = steps;
  MapBuilder builder(history, quantity, map);
  if (layer) {
    builder.heads_as_rows(*layer, max_rows);
  } else {
    builder.layers_as_rows();
  }
  builder.fill(max_cols);
  return map;
}

HeadMap shown_as(HeadMap map, const HeadQuantity& quantity) {
  for (float& value : map.values) value = quantity.shown(value);
  set_range(quantity, map);
  return map;
}

}  // namespace orrery

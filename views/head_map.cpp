#include "views/head_map.h"

#include <algorithm>
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

// The mean of one head over the steps of a column.
struct HeadMean {
  double sum = 0;
  double weight = 0;
};

// Several heads taken together; those of which nothing is held do not count. One function for each way, so that drawing
// many columns does not choose anew for every head.
template <Together kTogether>
float together(std::span<const HeadMean> heads) {
  double sum = 0;
  double product = 1;
  int n = 0;
  double weight = 1;  // mostly the same for all heads: divided by once
  double share = 1;
  for (const HeadMean& head : heads) {
    if (!(head.weight > 0)) continue;
    if (head.weight != weight) {
      weight = head.weight;
      share = 1 / weight;
    }
    const auto x = static_cast<double>(static_cast<float>(head.sum * share));
    ++n;
    if constexpr (kTogether == Together::kRootOfSquares) {
      sum += x * x;
    } else if constexpr (kTogether == Together::kGeometricMean) {
      // One logarithm for many heads: taken where the product would leave the range of a double.
      product *= x;
      if (product < 1e-200 || product > 1e200) {
        sum += std::log(product);
        product = 1;
      }
    } else {
      sum += x;
    }
  }
  if (n == 0) return kNan;
  if constexpr (kTogether == Together::kRootOfSquares) return static_cast<float>(std::sqrt(sum));
  if constexpr (kTogether == Together::kGeometricMean)
    return static_cast<float>(std::exp((sum + std::log(product)) / n));
  return static_cast<float>(sum / n);
}

float together(Together how, std::span<const HeadMean> heads) {
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
    find_range();
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
        heads_.assign(n_heads, {});
      }
      map_.row = row;
      add_row(row, static_cast<double>(n_steps));
    });
    if (open < columns_.size()) fill_column(open);
  }

  // One more row of the column that is being filled. This is where drawing many steps spends its time: a row of a layer
  // without missing values, nearly every one, is summed up without asking at every head.
  void add_row(const FrameRow& row, double weight) {
    const auto stride = static_cast<int64_t>(probe_.has_axis(Axis::kField) ? probe_.fields.size() : 1);  // the first
    HeadMean* mean = heads_.data();
    for (const Source& source : sources_) {
      const std::span<const float> values = row.layer_f32(source.layer);
      const int64_t n_here = ceil_div(static_cast<int64_t>(values.size()), stride);
      const int64_t n = std::max<int64_t>(std::min<int64_t>(source.head_end, n_here) - source.head_begin, 0);
      const float* const first = values.data() + source.head_begin * stride;
      bool any_missing = false;
      for (int64_t head = 0; head < n; ++head) any_missing |= std::isnan(first[head * stride]);
      if (!any_missing) {
        for (int64_t head = 0; head < n; ++head) {
          mean[head].sum += weight * static_cast<double>(first[head * stride]);
          mean[head].weight += weight;
        }
      } else {
        for (int64_t head = 0; head < n; ++head) {
          if (std::isnan(first[head * stride])) continue;
          mean[head].sum += weight * static_cast<double>(first[head * stride]);
          mean[head].weight += weight;
        }
      }
      mean += source.head_end - source.head_begin;
    }
  }

  void fill_column(size_t col) {
    std::span<const HeadMean> rest = heads_;
    for (size_t i = 0; i < sources_.size(); ++i) {
      const auto n = static_cast<size_t>(sources_[i].head_end - sources_[i].head_begin);
      const float value = together(quantity_.together, rest.first(n));
      map_.values[i * columns_.size() + col] = quantity_.shown == nullptr ? value : quantity_.shown(value);
      rest = rest.subspan(n);
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

  void find_range() {
    bool any = false;
    for (const float value : map_.values) {
      if (!std::isfinite(value)) continue;
      map_.low = any ? std::min(map_.low, value) : value;
      map_.high = any ? std::max(map_.high, value) : value;
      any = true;
    }
    if (quantity_.from_zero) map_.low = 0;
  }

  const FrameHistory& history_;
  const HeadQuantity& quantity_;
  const Probe& probe_;
  HeadMap& map_;
  StepCells cells_;
  std::vector<Source> sources_;  // of rows
  std::vector<bool> columns_;    // whether anything is held
  std::vector<HeadMean> heads_;  // of the column that is being filled, source after source
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

}  // namespace orrery

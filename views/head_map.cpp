#include "views/head_map.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/frame_rows.h"
#include "views/scene_builder.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Several heads taken together.
class Sum {
 public:
  explicit Sum(Together together) : together_(together) {}
  void add(float value) {
    if (std::isnan(value)) return;
    ++n_;
    const auto x = static_cast<double>(value);
    switch (together_) {
      case Together::kRootOfSquares:
        sum_ += x * x;
        break;
      case Together::kGeometricMean:
        sum_ += std::log(x);
        break;
      case Together::kMean:
        sum_ += x;
        break;
    }
  }
  float value() const {
    if (n_ == 0) return kNan;
    switch (together_) {
      case Together::kRootOfSquares:
        return static_cast<float>(std::sqrt(sum_));
      case Together::kGeometricMean:
        return static_cast<float>(std::exp(sum_ / n_));
      case Together::kMean:
        break;
    }
    return static_cast<float>(sum_ / n_);
  }

 private:
  Together together_;
  double sum_ = 0;
  int n_ = 0;
};

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
    const int64_t n_steps = std::max<int64_t>(map_.steps.size(), 0);
    map_.steps_per_col = bin_size(n_steps, max_cols);
    map_.cols = static_cast<int>(ceil_div(n_steps, map_.steps_per_col));
    find_columns();
    map_.values.assign(sources_.size() * columns_.size(), kNan);
    for (size_t col = 0; col < columns_.size(); ++col) {
      if (columns_[col]) fill_column(col);
    }
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

  // The last held step of each column.
  void find_columns() {
    columns_.resize(static_cast<size_t>(map_.cols));
    for_each_row(history_, probe_, map_.steps.begin, map_.steps.end, [&](const FrameRow& row) {
      columns_[static_cast<size_t>((row.step - map_.steps.begin) / map_.steps_per_col)] = row;
    });
  }

  void fill_column(size_t col) {
    const FrameRow& row = columns_[col];
    map_.row = row;
    const size_t stride = probe_.has_axis(Axis::kField) ? probe_.fields.size() : 1;  // the first field is drawn
    for (size_t i = 0; i < sources_.size(); ++i) {
      const std::span<const float> values = row.layer_f32(sources_[i].layer);
      Sum together(quantity_.together);
      for (int32_t head = sources_[i].head_begin; head < sources_[i].head_end; ++head) {
        const size_t at = static_cast<size_t>(head) * stride;
        if (at < values.size()) together.add(values[at]);
      }
      map_.values[i * columns_.size() + col] =
          quantity_.shown == nullptr ? together.value() : quantity_.shown(together.value());
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
  std::vector<Source> sources_;    // of rows
  std::vector<FrameRow> columns_;  // empty: nothing is held
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

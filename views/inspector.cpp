#include "views/inspector.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "probes/model_axes.h"
#include "views/attention_cells.h"
#include "views/half_life.h"
#include "views/scene_builder.h"
#include "views/step_names.h"
#include "views/token_text.h"

namespace orrery {
namespace {

constexpr size_t kMostCandidates = 10;
constexpr size_t kMostKeys = 10;
constexpr size_t kMostExperts = 16;
constexpr int32_t kMostTaps = 16;

class Table {
 public:
  Table(const FrameHistory& history, const ViewState& state, const TokenTexts* texts)
      : history_(history), texts_(texts), now_(resolve(history, state)) {}

  std::vector<InspectorRow> rows() {
    run();
    if (now_.step < 0) return std::move(rows_);
    token();
    layer();
    convolution();
    experts();
    attention_head();
    state_head();
    fast_head();
    key();
    candidates();
    return std::move(rows_);
  }

 private:
  void add(const char* section, std::string name, std::string value, std::string provenance = "") {
    rows_.push_back({section, std::move(name), std::move(value), std::move(provenance)});
  }

  FrameRow row_of(const char* name) const {
    const Probe* probe = find_probe(name);
    return probe == nullptr ? FrameRow{} : history_.row(*probe, now_.step);
  }

  static std::string source(const FrameRow& row) {
    return std::string(row.frame->probe->name) + " · " + std::string(dtype_name(row.frame->probe->dtype)) + " · " +
           (row.frame->probe->exact ? "exact" : "approximate") + " · " + origin_name(row.frame->origin);
  }

  void measured(const char* section, const char* name, const char* probe, std::span<const float> values,
                const FrameRow& row, size_t index) {
    if (!row || index >= values.size()) {
      add(section, name, "not recorded", probe);
      return;
    }
    const std::string_view unit = row.frame->probe->unit;
    add(section, name, format_value(static_cast<double>(values[index])) + (unit.empty() ? "" : " " + std::string(unit)),
        source(row));
  }

  void run() {
    const RunInfo& info = history_.info();
    add("Run", "model", info.model_name);
    if (!info.backend.empty()) add("Run", "backend", info.backend);
    if (!info.level.empty()) add("Run", "recording level", info.level);
    add("Run", "tokens", std::to_string(history_.n_steps()));
  }

  void token() {
    add("Token", "step", std::to_string(now_.step));
    if (now_.step < history_.n_steps()) {
      const Token& token = history_.tokens()[static_cast<size_t>(now_.step)];
      add("Token", "text", token_label(token.bytes));
      add("Token", "id", std::to_string(token.id));
      add("Token", "bytes", hex(token.bytes));
      add("Token", "segment", segment_name(token.segment));
    }
    for (const auto& [name, probe] : {std::pair{"entropy of what comes next", "output.entropy"},
                                      std::pair{"outside the 64 likeliest", "output.tail"}}) {
      const FrameRow row = row_of(probe);
      measured("Token", name, probe, row ? row.f32() : std::span<const float>{}, row, 0);
    }
    if (history_.info().config.loop.any()) {
      const FrameRow depth = row_of("loop.depth");
      add("Token", "iterations of the loop", depth ? std::to_string(depth.i32()[0]) : "not recorded",
          depth ? source(depth) : "loop.depth");
    }
    const FrameRow bytes = row_of("cache.bytes");
    if (bytes) {
      double total = 0;
      for (const int64_t one : bytes.i64()) total += static_cast<double>(one);
      add("Token", "cache, all layers", format_bytes(total), source(bytes));
    } else {
      add("Token", "cache, all layers", "not recorded", "cache.bytes");
    }
  }

  static std::string hex(const std::string& bytes) {
    std::string out;
    for (size_t i = 0; i < std::min<size_t>(bytes.size(), 24); ++i) {
      char text[4];
      std::snprintf(text, sizeof text, "%02x ", static_cast<unsigned>(static_cast<unsigned char>(bytes[i])));
      out += text;
    }
    if (bytes.size() > 24) out += "…";
    return out;
  }

  void layer() {
    if (now_.layer < 0) return;
    add("Layer", "layer", layer_name(history_.info(), now_.layer));
    const FrameRow norm = row_of("residual.norm");
    measured("Layer", "residual norm", "residual.norm", norm ? norm.layer_f32(now_.layer) : std::span<const float>{},
             norm, 0);
    for (const auto& [name, probe] :
         {std::pair{"keys held", "cache.entries"}, std::pair{"keys dropped", "cache.evicted"}}) {
      const FrameRow row = row_of(probe);
      const int64_t index = row ? row.frame->layer_index(now_.layer) : -1;
      if (index >= 0) add("Layer", name, std::to_string(row.i32()[static_cast<size_t>(index)]), source(row));
    }
    const FrameRow bytes = row_of("cache.bytes");
    if (!bytes) return;
    const std::span<const int64_t> values = bytes.layer_i64(now_.layer);
    const auto& fields = bytes.frame->probe->fields;
    for (size_t i = 0; i < std::min(values.size(), fields.size()); ++i) {
      if (values[i] != 0)
        add("Layer", "cache: " + std::string(fields[i]), format_bytes(static_cast<double>(values[i])), source(bytes));
    }
  }

  // Of the selected layer; null where none is selected.
  const LayerConfig* layer_config() const {
    const std::vector<LayerConfig>& layers = history_.info().config.layers;
    return now_.layer < 0 ? nullptr : &layers[static_cast<size_t>(now_.layer)];
  }

  // Whether the selected head is one that the layer has of this kind.
  bool has_head(MixerKind kind) const {
    const LayerConfig* layer = layer_config();
    return layer != nullptr && now_.head >= 0 && now_.head < n_heads_of(*layer, kind);
  }

  void layer_value(const char* section, const char* name, const char* probe, size_t index = 0) {
    const FrameRow row = row_of(probe);
    measured(section, name, probe, row ? row.layer_f32(now_.layer) : std::span<const float>{}, row, index);
  }

  void convolution() {
    const LayerConfig* layer = layer_config();
    if (layer == nullptr || layer->conv.n_taps <= 0) return;
    if (layer->conv.is_gated) {
      layer_value("Convolution", "gate before", "conv.gate_in");
      layer_value("Convolution", "gate after", "conv.gate_out");
    }
    for (int32_t tap = 0; tap < std::min(layer->conv.n_taps, kMostTaps); ++tap) {
      const int32_t back = layer->conv.n_taps - 1 - tap;
      const std::string name =
          back == 0 ? "this token" : std::to_string(back) + (back == 1 ? " token" : " tokens") + " back";
      layer_value("Convolution", name.c_str(), "conv.taps", static_cast<size_t>(tap));
    }
  }

  void experts() {
    const LayerConfig* layer = layer_config();
    if (layer == nullptr || layer->feed_forward != FeedForwardKind::kMoe) return;
    const FrameRow chosen = row_of("moe.experts");
    const FrameRow weights = row_of("moe.weights");
    if (!chosen) add("Experts", "chosen", "not recorded", "moe.experts");
    const std::span<const int32_t> ids = chosen ? chosen.layer_i32(now_.layer) : std::span<const int32_t>{};
    for (size_t i = 0; i < std::min(ids.size(), kMostExperts); ++i) {
      if (ids[i] < 0) continue;
      measured("Experts", ("weight of expert " + std::to_string(ids[i])).c_str(), "moe.weights",
               weights ? weights.layer_f32(now_.layer) : std::span<const float>{}, weights, i);
    }
    layer_value("Experts", "margin to the next", "moe.margin");
    layer_value("Experts", "entropy of the router", "moe.entropy");
  }

  void state_head() {
    if (!has_head(MixerKind::kMatrixState)) return;
    const auto head = static_cast<size_t>(now_.head);
    add("State", "part", state_head_name(*layer_config(), now_.head));
    layer_value("State", "norm", "state.norm", head);
    layer_value("State", "write", "state.write", head);
    layer_value("State", "erase", "state.erase", head);
    layer_value("State", "read", "state.read", head);
    layer_value("State", "keep, geometric mean", "state.keep", 3 * head);
    layer_value("State", "keep, least", "state.keep", 3 * head + 1);
    layer_value("State", "keep, greatest", "state.keep", 3 * head + 2);
    const FrameRow row = row_of("state.keep");
    const std::span<const float> values = row ? row.layer_f32(now_.layer) : std::span<const float>{};
    if (3 * head < values.size()) add("State", "half-life", half_life_text(values[3 * head]), source(row));
  }

  void fast_head() {
    if (!has_head(MixerKind::kFastWeights)) return;
    const auto head = static_cast<size_t>(now_.head);
    add("Fast weights", "head", std::to_string(now_.head));
    layer_value("Fast weights", "inner loss before", "fast.loss_before", head);
    layer_value("Fast weights", "inner loss after", "fast.loss_after", head);
    layer_value("Fast weights", "step size", "fast.rate", head);
    layer_value("Fast weights", "change", "fast.update", head);
    layer_value("Fast weights", "drift", "fast.drift", head);
  }

  static std::string half_life_text(float keep) {
    const auto tokens = static_cast<double>(half_life(keep));
    if (std::isnan(tokens)) return "missing";
    return std::isinf(tokens) ? kNeverDecays : format_value(tokens) + " tokens";
  }

  void attention_head() {
    if (!has_head(MixerKind::kAttention)) return;
    add("Head", "head", std::to_string(now_.head));
    for (const HeadScalar& scalar : head_scalars()) {
      const std::string probe(scalar.name);
      const FrameRow row = row_of(probe.c_str());
      measured("Head", std::string(scalar.title).c_str(), probe.c_str(),
               row ? row.layer_f32(now_.layer) : std::span<const float>{}, row, static_cast<size_t>(now_.head));
    }
    const AttentionBars bars = attention_bars(history_, now_);
    if (!bars.row) {
      add("Head", "reads", "not recorded", "attention.top");
      return;
    }
    for (size_t i = 0; i < std::min(bars.top.size(), kMostKeys); ++i) {
      add("Head", "reads key " + std::to_string(bars.top[i].key) + " " + token_at(history_, bars.top[i].key),
          format_value(static_cast<double>(bars.top[i].weight)), source(bars.row));
    }
    if (!bars.exact) {
      add("Head", "left out of the 32",
          std::isnan(bars.left_out) ? "not recorded" : format_value(static_cast<double>(bars.left_out)),
          "attention.rest");
    }
  }

  void key() {
    if (now_.key < 0) return;
    add("Key", "key", std::to_string(now_.key) + " " + token_at(history_, now_.key));
    if (!has_head(MixerKind::kAttention)) return;
    const AttentionBars bars = attention_bars(history_, now_);
    if (bars.exact && static_cast<size_t>(now_.key) < bars.weights.size()) {
      add("Key", "weight", format_value(static_cast<double>(bars.weights[static_cast<size_t>(now_.key)])),
          source(bars.row));
      return;
    }
    for (const auto& top : bars.top) {
      if (top.key != now_.key) continue;
      add("Key", "weight", format_value(static_cast<double>(top.weight)), source(bars.row));
      return;
    }
    add("Key", "weight", now_.key > now_.step ? "not read: it comes later" : "not among the 32 recorded",
        "attention.top");
  }

  void candidates() {
    const FrameRow row = row_of("output.top");
    if (!row) {
      add("Candidates", "next token", "not recorded", "output.top");
      return;
    }
    const std::span<const float> top = row.f32();
    for (size_t i = 0; i + 1 < std::min(top.size(), 2 * kMostCandidates); i += 2) {
      if (!(top[i] >= 0)) continue;
      const auto id = static_cast<int32_t>(top[i]);
      const std::string bytes = texts_ == nullptr ? "" : texts_->bytes(id);
      add("Candidates", bytes.empty() ? "id " + std::to_string(id) : token_label(bytes),
          format_percent(std::exp(static_cast<double>(top[i + 1]))), source(row));
    }
  }

  const FrameHistory& history_;
  const TokenTexts* texts_;
  const Selection now_;
  std::vector<InspectorRow> rows_;
};

}  // namespace

std::vector<InspectorRow> inspector_rows(const FrameHistory& history, const ViewState& state, const TokenTexts* texts) {
  return Table(history, state, texts).rows();
}

}  // namespace orrery

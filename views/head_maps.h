// Maps of several quantities of heads, one below the other on one axis of steps: layers x tokens, and beside them the
// heads of the selected layer x tokens. The body of the views of recurrent states and of fast weights.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "views/head_map.h"
#include "views/scene_builder.h"
#include "views/view.h"

namespace orrery {

struct HeadLook {
  HeadQuantity quantity;  // all of one kind of mixer
  const char* title = "";
  Transfer transfer = Transfer::kLinear;
  int shared_scale = -1;  // looks with the same number have one scale; -1: one of its own
  const char* unit = "";
  const char* infinite = "";  // what an infinite value says
};

class HeadMaps {
 public:
  // now: the selection as this kind of mixer takes it. All must outlive this.
  HeadMaps(SceneBuilder& builder, const SceneInput& input, const Selection& now, std::span<const HeadLook> looks)
      : b_(builder), history_(input.history), state_(input.state), now_(now), looks_(looks) {}

  // What the maps are made of now.
  static std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state,
                                    std::span<const HeadLook> looks);
  // Both columns where there is room; else the heads where a layer is chosen, the layers where none is. As many maps as
  // fit.
  void draw(const Rect& area);

 private:
  void column(const Rect& area, std::optional<int32_t> of_layer);
  void map(const HeadLook& look, const HeadMap& map, float high, const Rect& plot, std::optional<int32_t> of_layer,
           bool is_last);
  void add_tile(const HeadLook& look, const HeadMap& map, const Rect& plot, std::optional<int32_t> of_layer, int scale,
                bool is_last);
  void marks(const HeadMap& map, const Rect& plot, int64_t end, std::optional<int32_t> of_layer);
  void add_provenance(const HeadLook& look, const HeadMap& map, std::optional<int32_t> of_layer);
  std::vector<HeadLook> looks_of(std::optional<int32_t> of_layer) const;
  std::string heading_text(std::optional<int32_t> of_layer) const;
  float gutter_of(std::optional<int32_t> of_layer, float width) const;

  const LayerConfig& layer_of(int32_t layer) const { return history_.info().config.layers[static_cast<size_t>(layer)]; }
  MixerKind kind() const { return looks_.front().quantity.kind; }
  bool has_heads() const { return find_probe(looks_.front().quantity.probe)->has_axis(Axis::kHead); }
  const LayerConfig& layer() const { return history_.info().config.layers[static_cast<size_t>(now_.layer)]; }

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const Selection& now_;
  const std::span<const HeadLook> looks_;
  float gutter_ = 0;  // of the column being drawn, for the names of its rows
};

}  // namespace orrery

// The shapes that many probes share: one number per layer, or per head of a layer.
#pragma once

#include <string_view>

#include "probes/probe.h"

namespace orrery {

// What a head axis counts.
struct HeadAxis {
  std::vector<int32_t> (*layers)(const ModelConfig& config);
  std::vector<int64_t> (*inner_shape)(const ModelConfig& config, int64_t n_keys);  // {longest}
  FieldWidth (*width)(const ModelConfig& config);
  int32_t (*size_in)(const LayerConfig& layer);
};
extern const HeadAxis kAttentionHeads;  // query heads
extern const HeadAxis kStateHeads;      // of recurrences; groups of Mamba-1's channels
extern const HeadAxis kFastHeads;       // of layers with fast weights

// Of summaries of attention weights, which are bulky: off by 2^-21 = 4.8e-7 at most, a hundredth of what two correct
// computations of a weight may differ by.
inline constexpr int kWeightFractionBits = 20;

// An exact f32 probe over [t, layer, head]. The texts must live as long as the program.
Probe head_scalar(std::string_view name, std::string_view description, std::string_view unit, Quantity quantity,
                  Level level, const HeadAxis& heads = kAttentionHeads);

// An exact f32 probe over [t, layer], of the layers that `layers` lists.
Probe layer_scalar(std::string_view name, std::string_view description, std::string_view unit, Quantity quantity,
                   Level level, std::vector<int32_t> (*layers)(const ModelConfig& config));

}  // namespace orrery

// lens.top: what the model would say if it stopped after a layer. One unembedding per layer and token is dear, so it is
// recorded at level full only and recomputed elsewhere.
#include "probes/definitions.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

constexpr int64_t kLensTop = 8;

}  // namespace

std::span<const Probe> lens_top_probes() {
  static const std::vector<Probe> kProbes{{
      .name = "lens.top",
      .description = "The 8 likeliest next tokens read from the residual stream after the layer, by the final norm and "
                     "the unembedding.",
      .unit = "",
      .quantity = Quantity::kLensTop,
      .level = Level::kFull,
      .dtype = DType::kF32,
      .exact = true,
      .lossless = false,
      .padding = Padding::kNone,
      .axes = {Axis::kStep, Axis::kLayer, Axis::kTop, Axis::kField},
      .fields = {"id", "probability"},
      .layers = all_layers,
      .inner_shape =
          [](const ModelConfig&, int64_t) {
            return std::vector<int64_t>{kLensTop, 2};
          },
      .width = [](const ModelConfig&) { return FieldWidth{.fixed = kLensTop * 2}; },
  }};
  return kProbes;
}

}  // namespace orrery

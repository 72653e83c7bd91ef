// cache.bytes, cache.entries, cache.evicted: what a layer keeps of the past.
#include "probes/definitions.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

constexpr int64_t kCacheComponents = 4;

Probe count(std::string_view name, std::string_view description, Quantity quantity) {
  return {
      .name = name,
      .description = description,
      .unit = "keys",
      .quantity = quantity,
      .level = Level::kLight,
      .dtype = DType::kI32,
      .exact = true,
      .lossless = true,
      .padding = Padding::kNone,
      .axes = {Axis::kStep, Axis::kLayer},
      .fields = {},
      .layers = attention_layers,
      .inner_shape = [](const ModelConfig&, int64_t) { return std::vector<int64_t>{}; },
      .width = [](const ModelConfig&) { return FieldWidth{.fixed = 1}; },
  };
}

}  // namespace

std::span<const Probe> cache_probes() {
  static const std::vector<Probe> kProbes{
      {
          .name = "cache.bytes",
          .description = "Bytes that the layer's cache uses, by what they hold.",
          .unit = "bytes",
          .quantity = Quantity::kCacheBytes,
          .level = Level::kLight,
          .dtype = DType::kI64,
          .exact = true,
          .lossless = true,
          .padding = Padding::kNone,
          .axes = {Axis::kStep, Axis::kLayer, Axis::kComponent},
          .fields = {"keys and values", "recurrent state", "convolution state", "fast weights"},
          .layers = all_layers,
          .inner_shape = [](const ModelConfig&, int64_t) { return std::vector<int64_t>{kCacheComponents}; },
          .width = [](const ModelConfig&) { return FieldWidth{.fixed = kCacheComponents * 2}; },  // int64: two words
      },
      count("cache.entries", "Keys that the layer holds.", Quantity::kCacheEntries),
      count("cache.evicted", "Keys that the layer has dropped so far.", Quantity::kCacheEvicted),
  };
  return kProbes;
}

}  // namespace orrery

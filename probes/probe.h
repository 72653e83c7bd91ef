// Probe: the definition of one measured quantity: what it means, its axes, unit and level, and what it asks of a model.
// A probe costs one file with its definition, one line in registry.cpp and one test.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config.h"
#include "engine/probe_plan.h"
#include "kernels/base/dtype.h"

namespace orrery {

// What a recording keeps: each level contains the ones before it. What is kRecomputed is kept at none: it is computed
// again from the model where it is wanted.
enum class Level : uint8_t { kLight, kStandard, kFull, kRecomputed };
std::string_view level_name(Level level);                 // "light"
std::optional<Level> parse_level(std::string_view name);  // of a recording: "recomputed" is none

// kIteration: of a loop. kTap: of a convolution, oldest first. kChosen: experts of a token, heaviest first.
enum class Axis : uint8_t {
  kStep,
  kLayer,
  kIteration,
  kHead,
  kKey,
  kKeyBlock,
  kTop,
  kField,
  kComponent,
  kTap,
  kChosen
};
std::string_view axis_name(Axis axis);  // "t", "layer", "head", "key", "block of 64 keys", "top", "field", ...

// What missing entries of a rectangular export hold.
enum class Padding : uint8_t { kNone, kZero, kNan };

struct Probe {
  std::string_view name;         // "attention.entropy"
  std::string_view description;  // one sentence, as in the README's table
  std::string_view unit;         // "nats", "bytes", "" where it has none
  Quantity quantity;
  Level level;                           // the least level that records it
  DType dtype;                           // kF32, kI32 or kI64
  bool exact;                            // false: an approximation, and said so wherever it is drawn
  bool lossless;                         // stored bit for bit
  Padding padding;                       // of the key axis
  std::vector<Axis> axes;                // outermost first, beginning with kStep
  std::vector<std::string_view> fields;  // names along kField or kComponent: {"id", "log probability"}

  // Layers of `config` that have the quantity, ascending; empty where axes has no kLayer.
  std::vector<int32_t> (*layers)(const ModelConfig& config);
  // The sizes after [t, layer] for a run of n_keys tokens: {n_heads, ceil(n_keys / 64)}.
  std::vector<int64_t> (*inner_shape)(const ModelConfig& config, int64_t n_keys);
  // Words per row and layer, as the plan lays them out; agrees with inner_shape.
  FieldWidth (*width)(const ModelConfig& config);
  // The size of the first axis after [t, layer] in one layer, where layers may differ in it (heads, taps, experts of a
  // token): it is as long as the most, and layers with less are padded. Null where they are alike.
  int32_t (*size_in)(const LayerConfig& layer) = nullptr;
  // Whether a model has what belongs to no layer; null: every model has.
  bool (*is_in)(const ModelConfig& config) = nullptr;
  // Values (of lists of tops their weights) are multiples of 2^-fraction_bits: rounded when the Frame is cut, so that
  // live, recorded and recomputed ones are the same. 0: as computed.
  int fraction_bits = 0;

  bool has_layers() const { return axes.size() > 1 && axes[1] == Axis::kLayer; }
  bool has_axis(Axis axis) const {
    for (const Axis a : axes) {
      if (a == axis) return true;
    }
    return false;
  }
};

// All probes, in the order in which they are listed to users. The pointers are valid for the program's lifetime.
std::span<const Probe* const> all_probes();
const Probe* find_probe(std::string_view name);
// Whether any layer of the model has it; of what belongs to no layer, whether the model has.
bool is_offered(const Probe& probe, const ModelConfig& config);
// The probes that a model of this configuration offers.
std::vector<const Probe*> offered_probes(const ModelConfig& config);

}  // namespace orrery

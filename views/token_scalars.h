// Per-token and per-head scalars that colour text, strips and heads, by name.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "probes/frame_history.h"
#include "views/colour_map.h"

namespace orrery {

struct TokenScalar {
  std::string_view name;   // "output.entropy", "token.probability"
  std::string_view title;  // "entropy of the next token"
  std::string_view unit;   // "nats"
  std::string_view probe;  // what it is read from
  bool per_layer = false;  // of the selected layer
  Transfer transfer = Transfer::kLinear;
  float fixed_high = 0;  // 0: the scale ends at the largest value shown
  // Fills out[i] with the value of step begin + i; leaves what is not held as it is.
  void (*fill)(const FrameHistory& history, const Probe& probe, int64_t begin, int32_t layer, std::span<float> out);
};

// One value per step of [begin, end), NaN where it is not held.
std::vector<float> token_values(const TokenScalar& scalar, const FrameHistory& history, int64_t begin, int64_t end,
                                int32_t layer);

std::span<const TokenScalar> token_scalars();
const TokenScalar& find_token_scalar(std::string_view name);  // the first where the name is unknown

// A probe of shape [t, layer, head].
struct HeadScalar {
  std::string_view name;  // the probe's name: "attention.entropy"
  std::string_view title;
  std::string_view unit;
  float fixed_high = 0;
};

std::span<const HeadScalar> head_scalars();
const HeadScalar& find_head_scalar(std::string_view name);

}  // namespace orrery

// Per-token and per-head scalars that colour text, strips and heads, by name.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "probes/frame_history.h"
#include "views/colour_map.h"
#include "views/view_state.h"

namespace orrery {

struct TokenScalar {
  std::string_view name;   // "output.entropy", "token.probability"
  std::string_view title;  // "entropy of the next token"
  std::string_view unit;   // "nats"
  std::string_view probe;  // what it is made of
  // NaN where it is not held. Reads `layer` where the quantity has layers.
  float (*value)(const FrameHistory& history, int64_t step, int32_t layer);
  Transfer transfer = Transfer::kLinear;
  float fixed_high = 0;  // 0: the scale ends at the largest value shown
};

struct HeadScalar {
  std::string_view name;   // the probe's name: "attention.entropy"
  std::string_view title;  // "entropy"
  std::string_view unit;
  float fixed_high = 0;
};

std::span<const TokenScalar> token_scalars();
const TokenScalar& find_token_scalar(std::string_view name);  // the first where the name is unknown
std::span<const HeadScalar> head_scalars();
const HeadScalar& find_head_scalar(std::string_view name);

}  // namespace orrery

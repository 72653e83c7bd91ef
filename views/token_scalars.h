// Per-token and per-head scalars that colour text, strips and heads, by name.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "probes/frame_history.h"
#include "views/colour_map.h"
#include "views/view_state.h"

namespace orrery {

// What a token's number is of, beside the token.
struct TokenPlace {
  int32_t layer = -1;
  int32_t expert = -1;
  std::optional<WhatIf> what_if = {};
};
TokenPlace place_of(const Selection& resolved, const ViewState& state);

struct TokenScalar {
  std::string_view name;   // "output.entropy", "token.probability"
  std::string_view title;  // "entropy of the next token"
  std::string_view unit;   // "nats"
  std::string_view probe;  // what it is read from
  bool per_layer = false;  // of the selected layer
  Transfer transfer = Transfer::kLinear;
  float fixed_high = 0;            // 0: the scale ends at the largest value shown
  std::string_view infinite = {};  // what an infinite value says
  std::string_view also = {};      // a second probe that it needs
  bool every_step = false;         // it cannot be read from the means or the greatest values of several steps
  // Fills out[i] with the value of step begin + i; leaves what is not held as it is.
  void (*fill)(const FrameHistory& history, const Probe& probe, int64_t begin, const TokenPlace& place,
               std::span<float> out);
};

// One value per step of [begin, end), NaN where it is not held.
std::vector<float> token_values(const TokenScalar& scalar, const FrameHistory& history, int64_t begin, int64_t end,
                                const TokenPlace& place);

std::span<const TokenScalar> token_scalars();
const TokenScalar& find_token_scalar(std::string_view name);  // the first where the name is unknown
// What is chosen, as it is drawn now: depths are those of the what-if where one is asked.
const TokenScalar& shown_token_scalar(const ViewState& state);
// Its title with what it is of: "weight of expert 5, 3 MoE".
std::string token_scalar_title(const TokenScalar& scalar, const FrameHistory& history, const TokenPlace& place);
// The probes that it is read from.
std::vector<const Probe*> probes_of(const TokenScalar& scalar);
// A value as words: "0.123", "1.5 MiB", "never decays", "missing".
std::string token_scalar_text(const TokenScalar& scalar, double value);

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

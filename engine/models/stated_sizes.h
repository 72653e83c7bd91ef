// Sizes that both the settings and the tensors of a model have: the tensors decide, and what is stated must agree.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "engine/config.h"
#include "engine/model_file.h"

namespace orrery {

// The first of several keys of config.json for one setting that the file has; the first of all where it has none.
ConfigKey stated_key(const ModelFile& file, std::initializer_list<std::string_view> names);

// kInvalidFile where `key` is stated and is not `actual`; `what` says what has that size: "the rows of TENSOR".
Result<void> check_stated(const ModelFile& file, ConfigKey key, int64_t actual, const std::string& what);

// kInvalidFile where `key` is stated and `actual` is not the whole part of that times d_model.
Result<void> check_expansion(const ModelFile& file, ConfigKey key, int64_t d_model, int64_t actual);

// The taps of a depthwise convolution whose weight is [n_channels, taps] or [n_channels, 1, taps], 1 to 256; `key` may
// state them.
Result<int32_t> read_taps(const ModelFile& file, ConfigKey key, TensorName weight, int32_t layer, int64_t n_channels);

// The same for the width of every dense feed-forward, as config.json states it; GGUF files may state others.
Result<void> check_ffn_widths(const ModelFile& file, std::string_view key, const ModelConfig& config);

// kInvalidFile where config.json says of biases, by true or false, what their tensor does not: it is there or missing.
Result<void> check_bias(const ModelFile& file, std::string_view key, TensorName bias, int32_t layer);

// kUnsupported where config.json states another text than the one that is computed.
Result<void> expect_text(const ModelFile& file, std::string_view key, std::string_view expected);

// kUnsupported where config.json has another activation than SiLU, for layers that compute no other.
Result<void> expect_silu(const ModelFile& file, std::string_view key);

}  // namespace orrery

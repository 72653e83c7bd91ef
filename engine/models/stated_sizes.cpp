#include "engine/models/stated_sizes.h"

#include <cmath>

namespace orrery {

ConfigKey stated_key(const ModelFile& file, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (file.has({"", name})) return {"", name};
  }
  return {"", *names.begin()};
}

Result<void> check_stated(const ModelFile& file, ConfigKey key, int64_t actual, const std::string& what) {
  ORRERY_ASSIGN_OR_RETURN(const int64_t stated, file.integer(key, 0, int64_t{1} << 40, actual));
  if (stated == actual) return {};
  return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(key) + " must be " + std::to_string(actual) +
                                            ", " + what + ", but is " + std::to_string(stated)};
}

Result<void> check_expansion(const ModelFile& file, ConfigKey key, int64_t d_model, int64_t actual) {
  if (!file.has(key)) return {};
  ORRERY_ASSIGN_OR_RETURN(const double expansion, file.number(key));
  if (std::floor(expansion * static_cast<double>(d_model)) == static_cast<double>(actual)) return {};
  return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(key) + " must make " +
                                            std::to_string(actual) + " of " + std::to_string(d_model) + ", but is " +
                                            std::to_string(expansion)};
}

Result<int32_t> read_taps(const ModelFile& file, ConfigKey key, TensorName weight, int32_t layer, int64_t n_channels) {
  constexpr int64_t kMostTaps = 256;
  const StoredTensor* stored = file.find(weight, layer);
  const bool has_axis_of_one = stored != nullptr && stored->shape.rank() == 3;
  ORRERY_ASSIGN_OR_RETURN(
      const TensorView taps,
      file.tensor(weight, layer, has_axis_of_one ? Shape{n_channels, 1, -1} : Shape{n_channels, -1}));
  const int64_t n_taps = taps.n_cols();
  const std::string name = file.spelled(weight, layer);
  if (n_taps < 1 || n_taps > kMostTaps) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": the taps of " + name + " must be from 1 to " +
                                              std::to_string(kMostTaps) + ", but are " + std::to_string(n_taps)};
  }
  ORRERY_RETURN_IF_ERROR(check_stated(file, key, n_taps, "the taps of " + name));
  return static_cast<int32_t>(n_taps);
}

Result<void> check_ffn_widths(const ModelFile& file, std::string_view key, const ModelConfig& config) {
  for (const LayerConfig& layer : config.layers) {
    if (layer.feed_forward != FeedForwardKind::kDense) continue;
    ORRERY_RETURN_IF_ERROR(check_stated(file, {"", key}, layer.d_ffn, "the rows of the feed-forward's weights"));
  }
  return {};
}

Result<void> check_bias(const ModelFile& file, std::string_view key, TensorName bias, int32_t layer) {
  const bool is_there = file.find(bias, layer) != nullptr;
  ORRERY_ASSIGN_OR_RETURN(const bool stated, file.boolean({"", key}, is_there));
  if (stated == is_there) return {};
  return Error{ErrorCode::kInvalidFile, file.path() + ": " + std::string(key) + " must be " +
                                            (is_there ? "true, as there is " : "false, as there is no ") +
                                            file.spelled(bias, layer) + ", but is " + (stated ? "true" : "false")};
}

Result<void> expect_text(const ModelFile& file, std::string_view key, std::string_view expected) {
  ORRERY_ASSIGN_OR_RETURN(const std::string stated, file.text({"", key}, std::string(expected)));
  if (stated == expected) return {};
  return Error{ErrorCode::kUnsupported, file.path() + ": " + std::string(key) + " must be " + std::string(expected) +
                                            ", but is " + stated.substr(0, 60)};
}

Result<void> expect_silu(const ModelFile& file, std::string_view key) {
  ORRERY_ASSIGN_OR_RETURN(const std::string name, file.text({"", key}, "silu"));
  if (name == "silu" || name == "swish") return {};
  return Error{ErrorCode::kUnsupported,
               file.path() + ": " + std::string(key) + " must be silu, but is " + name.substr(0, 60)};
}

}  // namespace orrery

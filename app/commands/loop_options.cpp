#include "app/commands/loop_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace orrery {
namespace {

// Both ends are needed: "4:20".
Result<std::pair<int32_t, int32_t>> parse_layers(const std::string& text) {
  std::pair<int32_t, int32_t> layers;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, layers.first);
  const bool has_colon = first.ec == std::errc() && first.ptr != end && *first.ptr == ':';
  const auto last = has_colon ? std::from_chars(first.ptr + 1, end, layers.second) : first;
  if (has_colon && last.ec == std::errc() && last.ptr == end) return layers;
  return Error{ErrorCode::kInvalidArgument,
               "--loop-layers takes a half-open range of layers, as in 10:20, not: " + text};
}

}  // namespace

Result<LoopRequest::Exit> parse_exit(const std::string& text) {
  constexpr std::array<std::pair<std::string_view, ExitRule>, 3> kRules{
      {{"gate:", ExitRule::kGate}, {"step:", ExitRule::kStep}, {"kl:", ExitRule::kDivergence}}};
  if (text == "fixed") return LoopRequest::Exit{};
  for (const auto& [name, rule] : kRules) {
    if (!text.starts_with(name)) continue;
    LoopRequest::Exit exit{.rule = rule};
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + name.size(), end, exit.threshold);
    if (error == std::errc() && rest == end) return exit;
  }
  return Error{ErrorCode::kInvalidArgument,
               "--exit takes fixed, gate:T, step:T or kl:T with a threshold T, as in step:0.03, not: " + text};
}

std::vector<OptionSpec> with_loop_options(std::vector<OptionSpec> more) {
  std::vector<OptionSpec> options{
      {.name = "--loops",
       .value = "K",
       .help = "Go through the loop K times; on a model without one, through --loop-layers, as K damped steps",
       .type = OptionSpec::Type::kInteger},
      {.name = "--loop-layers", .value = "A:B", .help = "On a model without a loop: repeat layers A up to B"},
      {.name = "--exit",
       .value = "RULE",
       .help =
           "When a token leaves the loop: fixed; gate:T, once the learned gate's probabilities sum to T; step:T, "
           "once an iteration changes the state by less than T of its size; kl:T, once what would be said changes by "
           "less than T nats"},
      {.name = "--loop-cache",
       .value = "C",
       .help = "Whether iterations remember apart: own, or shared, the last one overwriting (default own)",
       .choices = {"own", "shared"}},
  };
  std::ranges::move(options, std::back_inserter(more));
  return more;
}

Result<LoopRequest> loop_request(const Options& options) {
  LoopRequest request;
  if (options.has("--loops")) {
    request.n_iterations = static_cast<int32_t>(std::clamp<int64_t>(options.integer("--loops", 0), -1, 1 << 20));
  }
  if (options.has("--loop-layers")) {
    ORRERY_ASSIGN_OR_RETURN(request.layers, parse_layers(options.text("--loop-layers")));
  }
  if (options.has("--exit")) {
    ORRERY_ASSIGN_OR_RETURN(request.exit, parse_exit(options.text("--exit")));
  }
  if (options.has("--loop-cache")) {
    request.cache = options.text("--loop-cache") == "shared" ? LoopCache::kShared : LoopCache::kOwn;
  }
  return request;
}

}  // namespace orrery

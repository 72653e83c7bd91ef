#include "sessions/loop_json.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "sessions/json_fields.h"

namespace orrery {
namespace {

constexpr int32_t kMostVisits = 4096;

constexpr std::array<std::pair<ExitRule, std::string_view>, 4> kRules{
    {{ExitRule::kFixed, "fixed"}, {ExitRule::kGate, "gate"}, {ExitRule::kStep, "step"}, {ExitRule::kDivergence, "kl"}}};
constexpr std::array<std::pair<ExitFill, std::string_view>, 3> kFills{
    {{ExitFill::kComputed, "computed"}, {ExitFill::kFrozen, "frozen"}, {ExitFill::kLatest, "latest"}}};
constexpr std::array<std::pair<LoopCache, std::string_view>, 2> kCaches{
    {{LoopCache::kOwn, "own"}, {LoopCache::kShared, "shared"}}};

template <typename Names, typename Kind>
std::string name_of(const Names& names, Kind kind) {
  for (const auto& [value, name] : names) {
    if (value == kind) return std::string(name);
  }
  return {};
}

template <typename Names, typename Kind>
void read_name(JsonFields& fields, const char* member, const Names& names, Kind& kind) {
  const nlohmann::json* json = fields.find(member);
  if (json == nullptr) return;
  for (const auto& [value, name] : names) {
    if (!json->is_string() || json->get_ref<const std::string&>() != name) continue;
    kind = value;
    return;
  }
  fields.complain(member);
}

}  // namespace

nlohmann::ordered_json loop_to_json(const LoopConfig& loop) {
  return {{"begin", loop.begin},
          {"end", loop.end},
          {"n_iterations", loop.n_iterations},
          {"rule", name_of(kRules, loop.rule)},
          {"threshold", loop.threshold},
          {"fill", name_of(kFills, loop.fill)},
          {"cache", name_of(kCaches, loop.cache)},
          {"has_gate", loop.has_gate}};
}

Result<LoopConfig> loop_from_json(const nlohmann::json& json) {
  LoopConfig loop;
  JsonFields fields(json, "run.settings, a loop,");
  fields.read("begin", loop.begin, 0, kMostVisits);
  fields.read("end", loop.end, loop.begin, kMostVisits);
  fields.read("n_iterations", loop.n_iterations, 1, kMostVisits);
  read_name(fields, "rule", kRules, loop.rule);
  fields.read("threshold", loop.threshold);
  read_name(fields, "fill", kFills, loop.fill);
  read_name(fields, "cache", kCaches, loop.cache);
  fields.read("has_gate", loop.has_gate);
  ORRERY_RETURN_IF_ERROR(fields.done());
  return loop;
}

Result<void> check_loop(const LoopConfig& loop, int32_t n_layers) {
  const int64_t visits = int64_t{n_layers} + int64_t{loop.end - loop.begin} * (loop.n_iterations - 1);
  if (loop.end <= n_layers && visits <= kMostVisits) return {};
  return Error{ErrorCode::kInvalidFile, "run.settings has a loop over layers " + std::to_string(loop.begin) + ":" +
                                            std::to_string(loop.end) + ", " + std::to_string(loop.n_iterations) +
                                            " times, of a model of so many layers: " + std::to_string(n_layers)};
}

}  // namespace orrery

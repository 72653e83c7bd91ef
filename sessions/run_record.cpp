#include "sessions/run_record.h"

#include "sessions/json_fields.h"
#include "sessions/loop_json.h"

namespace orrery {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr std::pair<RunEnd, std::string_view> kEnds[] = {
    {RunEnd::kRecording, "recording"}, {RunEnd::kComplete, "complete"},  {RunEnd::kStopped, "stopped"},
    {RunEnd::kFailed, "failed"},       {RunEnd::kDiskFull, "disk full"}, {RunEnd::kInterrupted, "interrupted"},
};
constexpr int64_t kMaxStep = int64_t{1} << 40;
constexpr size_t kMaxRanges = 1 << 20;
constexpr size_t kMaxPins = 4096;  // looked through at every step

OrderedJson schedule_json(const TapSchedule& schedule) {
  OrderedJson spans = OrderedJson::array();
  for (const TapSchedule::Span& span : schedule.spans) {
    spans.push_back({{"begin", span.begin}, {"end", span.end}, {"level", level_name(span.level)}});
  }
  return spans;
}

bool read_level(const Json& json, Level& level) {
  if (!json.is_string()) return false;
  const auto parsed = parse_level(json.get_ref<const std::string&>());
  if (!parsed) return false;
  level = *parsed;
  return true;
}

bool read_spans(const Json& json, std::vector<TapSchedule::Span>& spans) {
  if (!json.is_array() || json.size() > kMaxRanges) return false;
  for (const Json& item : json) {
    TapSchedule::Span span;
    JsonFields fields(item, "span");
    fields.read("begin", span.begin, int64_t{0}, kMaxStep);
    fields.read("end", span.end, int64_t{0}, kMaxStep);
    const Json* level = fields.find("level");
    if (!fields.done() || level == nullptr || !read_level(*level, span.level)) return false;
    spans.push_back(span);
  }
  return true;
}

OrderedJson pins_json(const TapSchedule& schedule) {
  OrderedJson pins = OrderedJson::array();
  for (const TapSchedule::Pins& one : schedule.pins) {
    OrderedJson heads = OrderedJson::array();
    for (const PinnedHead& pinned : one.heads) heads.push_back({pinned.layer, pinned.head});
    pins.push_back({{"begin", one.begin}, {"heads", std::move(heads)}});
  }
  return pins;
}

bool read_pinned_heads(const Json& json, std::vector<PinnedHead>& heads) {
  constexpr int32_t kMost = 1 << 20;
  if (!json.is_array() || json.size() > kMaxPins) return false;
  for (const Json& item : json) {
    PinnedHead pinned;
    if (!item.is_array() || item.size() != 2) return false;
    if (!JsonFields::integer(item[0], pinned.layer, 0, kMost)) return false;
    if (!JsonFields::integer(item[1], pinned.head, 0, kMost)) return false;
    heads.push_back(pinned);
  }
  return true;
}

bool read_pins(const Json& json, std::vector<TapSchedule::Pins>& pins) {
  if (!json.is_array() || json.size() > kMaxPins) return false;
  for (const Json& item : json) {
    TapSchedule::Pins one;
    JsonFields fields(item, "pin");
    fields.read("begin", one.begin, pins.empty() ? int64_t{0} : pins.back().begin + 1, kMaxStep);
    const Json* heads = fields.find("heads");
    if (!fields.done() || heads == nullptr || !read_pinned_heads(*heads, one.heads)) return false;
    pins.push_back(std::move(one));
  }
  return true;
}

bool read_batches(const Json& json, std::vector<std::pair<int64_t, int64_t>>& batches) {
  if (!json.is_array() || json.size() > kMaxRanges) return false;
  for (const Json& item : json) {
    std::pair<int64_t, int64_t> batch;
    if (!item.is_array() || item.size() != 2) return false;
    if (!JsonFields::integer(item[0], batch.first, int64_t{0}, kMaxStep)) return false;
    if (!JsonFields::integer(item[1], batch.second, batch.first, kMaxStep)) return false;
    batches.push_back(batch);
  }
  return true;
}

OrderedJson turns_json(const std::vector<RunTurn>& turns) {
  OrderedJson json = OrderedJson::array();
  for (const RunTurn& turn : turns) json.push_back({turn.begin, turn.given_end, turn.n_new_tokens});
  return json;
}

// Each [begin, given_end, n_new_tokens]; ascending, so that the tokens can be cut at them.
bool read_turns(const Json& json, std::vector<RunTurn>& turns) {
  if (!json.is_array() || json.size() > kMaxRanges) return false;
  for (const Json& item : json) {
    RunTurn turn;
    if (!item.is_array() || item.size() != 3) return false;
    const int64_t least = turns.empty() ? 0 : turns.back().given_end;
    const int64_t most = turns.empty() ? 0 : kMaxStep;  // the first begins with the run
    if (!JsonFields::integer(item[0], turn.begin, least, most)) return false;
    if (!JsonFields::integer(item[1], turn.given_end, turn.begin, kMaxStep)) return false;
    if (!JsonFields::integer(item[2], turn.n_new_tokens, int64_t{0}, kMaxStep)) return false;
    turns.push_back(turn);
  }
  return true;
}

}  // namespace

std::string_view run_end_name(RunEnd end) {
  for (const auto& [value, name] : kEnds) {
    if (value == end) return name;
  }
  return "";
}

std::optional<RunEnd> parse_run_end(std::string_view name) {
  for (const auto& [value, known] : kEnds) {
    if (known == name) return value;
  }
  return std::nullopt;
}

RunInfo run_info(const RunRecord& record) {
  RunInfo info;
  info.run = record.run;
  info.model_name = record.model_name;
  info.fingerprint = record.fingerprint;
  info.backend = record.backend;
  info.config = record.config;
  info.layer_labels = record.layer_labels;
  info.level = level_name(record.settings.schedule.level);
  const RunSettings& settings = record.settings;
  info.sampling = SamplingInfo{.temperature = settings.temperature,
                               .top_k = settings.top_k,
                               .top_p = settings.top_p,
                               .min_p = settings.min_p,
                               .repeat_penalty = settings.repeat_penalty,
                               .seed = settings.seed};
  return info;
}

std::string prompt_to_json(const PromptRecord& prompt) {
  OrderedJson json{{"kind", prompt.kind}, {"text", prompt.text}};
  if (prompt.system) json["system"] = *prompt.system;
  if (!prompt.turns.empty()) json["turns"] = prompt.turns;
  return json_text(json);
}

std::string settings_to_json(const RunSettings& settings) {
  OrderedJson batches = OrderedJson::array();
  for (const auto& [begin, end] : settings.batches) batches.push_back({begin, end});
  OrderedJson json{
      {"model_path", settings.model_path},
      {"threads", settings.threads},
      {"kv", settings.kv},
      {"instruction_set", settings.instruction_set},
      {"device", settings.device},
      {"temperature", settings.temperature},
      {"top_k", settings.top_k},
      {"top_p", settings.top_p},
      {"min_p", settings.min_p},
      {"repeat_penalty", settings.repeat_penalty},
      {"seed", settings.seed},
      {"n_new_tokens", settings.n_new_tokens},
      {"steps", settings.one_step},
      {"batches", std::move(batches)},
      {"recording", settings.schedule.recording},
      {"level", level_name(settings.schedule.level)},
      {"spans", schedule_json(settings.schedule)},
      {"pinned_steps", settings.schedule.pinned_steps},
      {"turns", turns_json(settings.turns)},
      {"drawn_before", settings.n_drawn_before},
  };
  if (!settings.schedule.pins.empty()) json["pins"] = pins_json(settings.schedule);
  if (settings.loop.any()) json["loop"] = loop_to_json(settings.loop);
  return json_text(json);
}

Result<PromptRecord> prompt_from_json(std::string_view text) {
  ORRERY_ASSIGN_OR_RETURN(const Json json, parse_json(text, "run.prompt", Json::value_t::object));
  PromptRecord prompt;
  JsonFields fields(json, "run.prompt");
  fields.read("kind", prompt.kind);
  fields.read("text", prompt.text);
  if (fields.find("system") != nullptr) fields.read("system", prompt.system.emplace());
  if (const Json* turns = fields.find("turns"); turns != nullptr && turns->is_array()) {
    for (const Json& turn : *turns) {
      if (turn.is_string()) prompt.turns.push_back(turn.get<std::string>());
    }
  }
  ORRERY_RETURN_IF_ERROR(fields.done());
  return prompt;
}

Result<RunSettings> settings_from_json(std::string_view text) {
  ORRERY_ASSIGN_OR_RETURN(const Json json, parse_json(text, "run.settings", Json::value_t::object));
  RunSettings settings;
  JsonFields fields(json, "run.settings");
  fields.read("model_path", settings.model_path);
  fields.read("threads", settings.threads, 0, 1 << 16);
  fields.read("kv", settings.kv);
  fields.read("instruction_set", settings.instruction_set);
  fields.read("device", settings.device);
  fields.read("temperature", settings.temperature);
  fields.read("top_k", settings.top_k, 0, std::numeric_limits<int32_t>::max());
  fields.read("top_p", settings.top_p);
  fields.read("min_p", settings.min_p);
  fields.read("repeat_penalty", settings.repeat_penalty);
  fields.read("seed", settings.seed, uint64_t{0}, std::numeric_limits<uint64_t>::max());
  fields.read("n_new_tokens", settings.n_new_tokens, int64_t{0}, kMaxStep);
  fields.read("steps", settings.one_step);
  fields.read("recording", settings.schedule.recording);
  fields.read("pinned_steps", settings.schedule.pinned_steps, int64_t{0}, std::numeric_limits<int64_t>::max());
  if (const Json* level = fields.find("level"); level != nullptr && !read_level(*level, settings.schedule.level)) {
    fields.complain("level");
  }
  if (const Json* spans = fields.find("spans"); spans != nullptr && !read_spans(*spans, settings.schedule.spans)) {
    fields.complain("spans");
  }
  if (const Json* pins = fields.find("pins"); pins != nullptr && !read_pins(*pins, settings.schedule.pins)) {
    fields.complain("pins");
  }
  if (const Json* batches = fields.find("batches"); batches != nullptr && !read_batches(*batches, settings.batches)) {
    fields.complain("batches");
  }
  if (const Json* turns = fields.find("turns"); turns != nullptr && !read_turns(*turns, settings.turns)) {
    fields.complain("turns");
  }
  fields.read("drawn_before", settings.n_drawn_before, int64_t{0}, kMaxStep);
  ORRERY_RETURN_IF_ERROR(fields.done());
  if (const Json* loop = fields.find("loop"); loop != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(settings.loop, loop_from_json(*loop));
  }
  return settings;
}

}  // namespace orrery

#include "engine/formats/bounded_json.h"

#include <new>
#include <set>

#include "engine/formats/quoted.h"

namespace orrery {
namespace {

constexpr int kMaxDepth = 64;
constexpr int kUniqueDepth = 2;  // of objects whose keys are held against each other

// What the parser's callback throws to stop it.
struct Refusal {
  std::string reason;
};

}  // namespace

Result<nlohmann::json> parse_json_object(std::string_view text, size_t max_bytes, const std::string& path) {
  const auto invalid = [&](const std::string& reason) { return Error{ErrorCode::kInvalidFile, path + ": " + reason}; };
  if (text.size() > max_bytes) {
    return invalid("its JSON is longer than " + std::to_string(max_bytes) + " bytes: " + std::to_string(text.size()));
  }
  using json = nlohmann::json;
  std::set<std::string> keys[kUniqueDepth];  // of the objects that are open
  const json::parser_callback_t watch = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > kMaxDepth) throw Refusal{"its JSON is nested deeper than " + std::to_string(kMaxDepth)};
    // A key is one level deeper than the start of its object.
    if (event == json::parse_event_t::object_start && depth < kUniqueDepth) keys[depth].clear();
    if (event == json::parse_event_t::key && depth <= kUniqueDepth) {
      if (!keys[depth - 1].insert(value.get<std::string>()).second) {
        throw Refusal{"a key occurs twice in its JSON, " + in_quotes(value.get<std::string>())};
      }
    }
    return true;
  };
  try {
    json parsed = json::parse(text, watch);
    if (!parsed.is_object()) return invalid("its JSON is not an object, but " + std::string(parsed.type_name()));
    return parsed;
  } catch (const Refusal& refusal) {
    return invalid(refusal.reason);
  } catch (const json::exception& error) {
    return invalid("it is not valid JSON: " + printable(error.what(), 200));
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory, "not enough memory for the JSON of " + path};
  }
}

}  // namespace orrery

#include "engine/formats/bounded_json.h"

#include <array>
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

// Python's word for a number that JSON cannot write, at the beginning of `text`; empty where there is none.
std::string_view python_number(std::string_view text) {
  constexpr std::array<std::string_view, 3> kWords = {"Infinity", "-Infinity", "NaN"};
  for (const std::string_view word : kWords) {
    if (text.starts_with(word)) return word;
  }
  return {};
}

// `text` with those words, where they stand outside strings, as objects.
std::string with_python_numbers(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const std::string_view word = in_string ? std::string_view() : python_number(text.substr(at));
    if (!word.empty()) {
      out.append("{\"__float__\": \"").append(word).append("\"}");
      at += word.size() - 1;
      continue;
    }
    if (text[at] == '"') in_string = !in_string;
    if (in_string && text[at] == '\\' && at + 1 < text.size()) out += text[at++];
    out += text[at];
  }
  return out;
}

bool may_have_python_numbers(std::string_view text) {
  return text.find("Infinity") != std::string_view::npos || text.find("NaN") != std::string_view::npos;
}

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
    const bool is_of_python = may_have_python_numbers(text);
    const std::string rewritten = is_of_python ? with_python_numbers(text) : std::string();
    json parsed = json::parse(is_of_python ? std::string_view(rewritten) : text, watch);
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

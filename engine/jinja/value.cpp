#include "engine/jinja/value.h"

#include <algorithm>

#include "engine/formats/quoted.h"

namespace orrery::jinja {
namespace {

// White space as Python's str.isspace() has it.
bool is_space(std::string_view character) {
  static constexpr std::string_view kAscii = "\t\n\v\f\r\x1c\x1d\x1e\x1f ";
  static constexpr std::string_view kWide[] = {"\u0085", "\u00a0", "\u1680", "\u2028",
                                               "\u2029", "\u202f", "\u205f", "\u3000"};
  if (character.size() == 1) return kAscii.find(character) != std::string_view::npos;
  if (character >= "\u2000" && character <= "\u200a" && character.size() == 3) return true;
  return std::find(std::begin(kWide), std::end(kWide), character) != std::end(kWide);
}

std::string_view first_character(std::string_view text) {
  return text.substr(0, std::max<size_t>(utf8_char_length(text), 1));
}

std::string_view last_character(std::string_view text) {
  for (size_t n = 1; n <= std::min<size_t>(4, text.size()); ++n) {
    const std::string_view end = text.substr(text.size() - n);
    if (utf8_char_length(end) == n) return end;
  }
  return text.substr(text.size() - 1);
}

}  // namespace

const Value* DictValue::find(std::string_view name) const {
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (member->first == name) return &member->second;
  }
  return nullptr;
}

bool Value::truth() const {
  if (boolean()) return *boolean();
  if (integer()) return *integer() != 0;
  if (real()) return *real() != 0;
  if (text()) return !text()->empty();
  if (list()) return !list()->items.empty();
  if (dict()) return dict()->is_namespace || !dict()->members.empty();
  return callable() != nullptr;
}

double Value::number() const {
  if (boolean()) return *boolean() ? 1 : 0;
  if (integer()) return static_cast<double>(*integer());
  return real() ? *real() : 0;
}

int Value::depth() const { return list() ? list()->depth : dict() ? dict()->depth : 0; }

const char* Value::kind_name() const {
  static constexpr const char* kNames[] = {"undefined", "none", "a truth value", "a number",  "a number",
                                           "text",      "list", "dictionary",    "a function"};
  return kNames[held_.index()];
}

std::string_view strip(std::string_view text, bool left, bool right, const std::string* of) {
  const auto goes = [&](std::string_view character) {
    return of ? of->find(character) != std::string::npos : is_space(character);
  };
  while (left && !text.empty() && goes(first_character(text))) text.remove_prefix(first_character(text).size());
  while (right && !text.empty() && goes(last_character(text))) text.remove_suffix(last_character(text).size());
  return text;
}

}  // namespace orrery::jinja

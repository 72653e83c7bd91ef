// Reading members of a JSON object that may come from a stranger: types and ranges are checked, absent members keep
// their defaults. For the .cpp files of sessions/ only.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>

#include "kernels/base/result.h"

namespace orrery {

inline constexpr size_t kMaxJsonBytes = size_t{16} << 20;

// One line; text that is not UTF-8 gets U+FFFD.
inline std::string json_text(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// `what` names the text in the error, "run.settings".
inline Result<nlohmann::json> parse_json(std::string_view text, std::string_view what, nlohmann::json::value_t type) {
  if (text.size() > kMaxJsonBytes) return Error{ErrorCode::kInvalidFile, std::string(what) + " is too long"};
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || json.type() != type) {
    return Error{ErrorCode::kInvalidFile, std::string(what) + " is not the JSON that it should be"};
  }
  return json;
}

// Reads members one after another and keeps the first complaint.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::string_view what) : object_(object), what_(what) {}

  void read(const char* name, std::string& value) {
    if (const auto* member = find(name); member != nullptr) {
      if (member->is_string())
        value = member->get<std::string>();
      else
        complain(name);
    }
  }
  void read(const char* name, bool& value) {
    if (const auto* member = find(name); member != nullptr) {
      if (member->is_boolean())
        value = member->get<bool>();
      else
        complain(name);
    }
  }
  template <typename T>
  requires std::is_floating_point_v<T>
  void read(const char* name, T& value) {
    if (const auto* member = find(name); member != nullptr) {
      if (member->is_number())
        value = member->get<T>();
      else
        complain(name);
    }
  }
  // Within [least, greatest].
  template <typename T>
  requires std::is_integral_v<T>
  void read(const char* name, T& value, T least, T greatest) {
    if (const auto* member = find(name); member != nullptr) {
      if (!integer(*member, value, least, greatest)) complain(name);
    }
  }
  template <typename T>
  static bool integer(const nlohmann::json& json, T& value, T least, T greatest) {
    if (json.is_number_unsigned()) {
      const auto n = json.get<uint64_t>();
      if (greatest < T{0} || n > static_cast<uint64_t>(greatest)) return false;
      if (least > T{0} && n < static_cast<uint64_t>(least)) return false;
      value = static_cast<T>(n);
      return true;
    }
    if (!json.is_number_integer()) return false;
    const auto n = json.get<int64_t>();  // negative
    if constexpr (std::is_unsigned_v<T>)
      return false;
    else {
      if (n < static_cast<int64_t>(least) || n > static_cast<int64_t>(greatest)) return false;
      value = static_cast<T>(n);
      return true;
    }
  }

  // Null where the object has no such member.
  const nlohmann::json* find(const char* name) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  void complain(const char* name) {
    if (complaint_.empty()) complaint_ = what_ + " has a \"" + name + "\" that cannot be right";
  }
  Result<void> done() const {
    if (!complaint_.empty()) return Error{ErrorCode::kInvalidFile, complaint_};
    return {};
  }

 private:
  const nlohmann::json& object_;
  std::string what_;
  std::string complaint_;
};

}  // namespace orrery

#include "engine/tokenizers/hf_json.h"

#include <utility>

#include "engine/formats/quoted.h"

namespace orrery {

std::string shown(const nlohmann::json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list of " + std::to_string(value.size());
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  return value.dump();
}

size_t count_objects(const nlohmann::json& value) {
  size_t n = value.is_object() ? 1 : 0;
  if (value.is_structured()) {
    for (const nlohmann::json& item : value) n += count_objects(item);
  }
  return n;
}

Result<HfObject> as_hf_object(const nlohmann::json& value, std::string where) {
  if (!value.is_object()) {
    return Error{ErrorCode::kInvalidFile, where + " is not an object, but " + shown(value)};
  }
  return HfObject{&value, std::move(where)};
}

Error HfObject::invalid(std::string_view why) const {
  return {ErrorCode::kInvalidFile, where + " " + std::string(why)};
}

Error HfObject::wrong(const char* key, std::string_view expected) const {
  const nlohmann::json* value = find(key);
  return invalid("needs " + std::string(expected) + " called " + in_quotes(key) +
                 (value == nullptr ? ", which is missing" : ", not " + shown(*value)));
}

const nlohmann::json* HfObject::find(const char* key) const {
  const auto at = json->find(key);
  return at == json->end() || at->is_null() ? nullptr : &*at;
}

Result<std::string> HfObject::text(const char* key, const std::optional<std::string>& fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr || !value->is_string()) return wrong(key, "a text");
  return value->get<std::string>();
}

Result<std::string> HfObject::short_text(const char* key, const std::optional<std::string>& fallback) const {
  ORRERY_ASSIGN_OR_RETURN(std::string value, text(key, fallback));
  if (value.size() <= kMaxShortText) return value;
  return wrong(key, "a text of at most " + std::to_string(kMaxShortText) + " bytes");
}

Result<bool> HfObject::flag(const char* key, std::optional<bool> fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr || !value->is_boolean()) return wrong(key, "true or false");
  return value->get<bool>();
}

Result<int64_t> HfObject::integer(const char* key, int64_t least, int64_t greatest,
                                  std::optional<int64_t> fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr && fallback) return *fallback;
  const bool is_huge = value != nullptr && value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX;
  if (value == nullptr || !value->is_number_integer() || is_huge || value->get<int64_t>() < least ||
      value->get<int64_t>() > greatest) {
    return wrong(key, "a whole number from " + std::to_string(least) + " to " + std::to_string(greatest));
  }
  return value->get<int64_t>();
}

Result<const nlohmann::json*> HfObject::list(const char* key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr || !value->is_array()) return wrong(key, "a list");
  return value;
}

}  // namespace orrery

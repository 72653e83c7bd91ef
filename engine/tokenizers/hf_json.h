// Fields of the JSON objects that a tokenizer.json is made of, read with the type that they must have.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/base/result.h"

namespace orrery {

// An object inside a file. Cheap to copy; the JSON must outlive it.
struct HfObject {
  static constexpr size_t kMaxShortText = 1024;

  const nlohmann::json* json;  // an object
  std::string where;           // for sentences: "tokenizer.json: its normalizer"

  // null where the key is absent or null.
  const nlohmann::json* find(const char* key) const;

  // Where the key is absent or null the fallback, and without one kInvalidFile, as for another type; the sentence names
  // `where`, the key and the value.
  Result<std::string> text(const char* key, const std::optional<std::string>& fallback = {}) const;
  // The same of at most kMaxShortText bytes: it may stand in for each byte of a text.
  Result<std::string> short_text(const char* key, const std::optional<std::string>& fallback = {}) const;
  Result<bool> flag(const char* key, std::optional<bool> fallback = {}) const;
  Result<int64_t> integer(const char* key, int64_t least, int64_t greatest, std::optional<int64_t> fallback = {}) const;
  Result<const nlohmann::json*> list(const char* key) const;

  Error invalid(std::string_view why) const;
  Error wrong(const char* key, std::string_view expected) const;  // "… has no list called "merges", but …"
};

// `json` as an object, named by `where`; kInvalidFile for anything else.
Result<HfObject> as_hf_object(const nlohmann::json& json, std::string where);

// Objects in `json`, itself and those below it included.
size_t count_objects(const nlohmann::json& json);

// The value as it stands in the file, short enough for a sentence.
std::string shown(const nlohmann::json& json);

}  // namespace orrery

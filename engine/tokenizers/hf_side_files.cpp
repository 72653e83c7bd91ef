#include "engine/tokenizers/hf_side_files.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "engine/formats/hf_folder_file.h"
#include "engine/formats/quoted.h"
#include "engine/tokenizers/hf_json.h"
#include "engine/tokenizers/utf8.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxJsonBytes = size_t{32} << 20;
constexpr size_t kMaxTemplateBytes = size_t{4} << 20;
constexpr std::array<const char*, 7> kNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                               "pad_token", "cls_token", "mask_token"};

// The file as an object for reading fields; an empty one where it is missing.
class OptionalFile {
 public:
  static Result<OptionalFile> read(const fs::path& folder, std::string_view name) {
    OptionalFile file;
    ORRERY_ASSIGN_OR_RETURN(std::optional<nlohmann::json> json, read_optional_hf_json(folder, name, kMaxJsonBytes));
    file.exists_ = json.has_value();
    file.json_ = json ? std::move(*json) : nlohmann::json::object();
    file.where_ = (folder / name).string();
    return file;
  }
  bool exists() const { return exists_; }
  HfObject object() const { return {&json_, where_}; }

 private:
  nlohmann::json json_;
  std::string where_;
  bool exists_ = false;
};

Result<int32_t> read_id(const HfObject& file, const char* key, const nlohmann::json& id) {
  if (!id.is_number_integer() || id < 0 || id > INT32_MAX) return file.wrong(key, "an id or a list of ids");
  return id.get<int32_t>();
}

// An id or a list of ids; empty where there is none.
Result<std::vector<int32_t>> read_ids(const HfObject& file, const char* key) {
  std::vector<int32_t> ids;
  const nlohmann::json* value = file.find(key);
  if (value == nullptr) return ids;
  if (!value->is_array()) {
    ORRERY_ASSIGN_OR_RETURN(const int32_t id, read_id(file, key, *value));
    ids.push_back(id);
    return ids;
  }
  for (const nlohmann::json& item : *value) {
    ORRERY_ASSIGN_OR_RETURN(const int32_t id, read_id(file, key, item));
    ids.push_back(id);
  }
  return ids;
}

class SideFileReader {
 public:
  explicit SideFileReader(const fs::path& folder) : folder_(folder) {}

  Result<HfSideFiles> read() {
    ORRERY_ASSIGN_OR_RETURN(config_, OptionalFile::read(folder_, "tokenizer_config.json"));
    const HfObject config = config_.object();
    ORRERY_ASSIGN_OR_RETURN(files_.add_bos, config.flag("add_bos_token", false));
    ORRERY_ASSIGN_OR_RETURN(files_.add_eos, config.flag("add_eos_token", false));
    ORRERY_ASSIGN_OR_RETURN(files_.add_prefix_space, config.flag("add_prefix_space", false));
    ORRERY_ASSIGN_OR_RETURN(files_.cleans_up, config.flag("clean_up_tokenization_spaces", false));
    if (config.find("added_tokens_decoder") != nullptr) {
      ORRERY_RETURN_IF_ERROR(read_added_tokens_decoder());
    } else {
      ORRERY_ASSIGN_OR_RETURN(map_, OptionalFile::read(folder_, "special_tokens_map.json"));
    }
    ORRERY_RETURN_IF_ERROR(read_special_tokens());
    if (config.find("added_tokens_decoder") == nullptr) ORRERY_RETURN_IF_ERROR(read_legacy_added_tokens());
    ORRERY_RETURN_IF_ERROR(read_template());
    ORRERY_RETURN_IF_ERROR(read_generation());
    return std::move(files_);
  }

 private:
  Result<void> read_added_tokens_decoder() {
    const HfObject config = config_.object();
    const nlohmann::json* decoder = config.find("added_tokens_decoder");
    if (!decoder->is_object()) return config.wrong("added_tokens_decoder", "an object of tokens");
    std::map<int64_t, HfAddedToken> by_id;
    for (const auto& [key, value] : decoder->items()) {
      if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos) {
        return config.invalid("has an added token whose id is no number: " + in_quotes(key));
      }
      ORRERY_ASSIGN_OR_RETURN(const HfObject object, as_hf_object(value, config.where + ": an added token"));
      ORRERY_ASSIGN_OR_RETURN(by_id[std::stoll(key)], HfAddedToken::read(object));
    }
    for (auto& [id, token] : by_id) files_.added.push_back(std::move(token));
    return {};
  }

  // special_tokens_map.json, where it counts, goes before tokenizer_config.json.
  const nlohmann::json* find(const char* key) const {
    const nlohmann::json* value = map_.exists() ? map_.object().find(key) : nullptr;
    return value != nullptr ? value : config_.object().find(key);
  }

  // A token as the added ones know it, by its content.
  HfAddedToken as_added(HfAddedToken token) const {
    for (const HfAddedToken& added : files_.added) {
      if (added.content == token.content) token = added;
    }
    token.special = true;
    return token;
  }

  Result<void> read_special_tokens() {
    const std::string where = config_.object().where;
    for (const char* name : kNames) {
      const nlohmann::json* value = find(name);
      if (value == nullptr) continue;
      ORRERY_ASSIGN_OR_RETURN(HfAddedToken token, HfAddedToken::read_special(*value, where + ": its " + name));
      if (name == kNames[0]) files_.bos = token.content;
      if (name == kNames[1]) files_.eos = token.content;
      files_.special.push_back(as_added(std::move(token)));
    }
    const HfObject config = config_.object();
    for (const auto& [key, value] : config.json->items()) {  // names that some models have beside the usual ones
      if (!key.ends_with("_token") || !value.is_string()) continue;
      if (std::find(kNames.begin(), kNames.end(), key) != kNames.end()) continue;
      ORRERY_ASSIGN_OR_RETURN(HfAddedToken token, HfAddedToken::read_special(value, where));
      files_.special.push_back(as_added(std::move(token)));
    }
    const nlohmann::json* more = config.find("extra_special_tokens");
    if (more == nullptr || more->empty()) more = config.find("additional_special_tokens");
    if (more == nullptr) return {};
    if (!more->is_structured()) return config.wrong("additional_special_tokens", "a list of tokens");
    for (const nlohmann::json& value : *more) {
      ORRERY_ASSIGN_OR_RETURN(HfAddedToken token, HfAddedToken::read_special(value, where + ": a special token"));
      files_.special.push_back(std::move(token));
    }
    return {};
  }

  // added_tokens.json of older folders: {content: id}.
  Result<void> read_legacy_added_tokens() {
    ORRERY_ASSIGN_OR_RETURN(const OptionalFile file, OptionalFile::read(folder_, "added_tokens.json"));
    const HfObject object = file.object();
    std::multimap<int64_t, HfAddedToken> by_id;
    for (const auto& [content, id] : object.json->items()) {
      if (!id.is_number_integer() || id < 0 || id > INT32_MAX) {
        return object.invalid("gives the token " + in_quotes(content) + " the id " + shown(id));
      }
      const std::string& name = content;  // a lambda may not hold part of a binding
      const auto is_it = [&name](const HfAddedToken& token) { return token.content == name; };
      const bool special = std::any_of(files_.special.begin(), files_.special.end(), is_it);
      by_id.emplace(id.get<int64_t>(), HfAddedToken{.content = content, .normalized = !special, .special = special});
    }
    for (auto& [id, token] : by_id) files_.added.push_back(std::move(token));
    return {};
  }

  // A file of its own goes before what tokenizer_config.json holds: a text, or a list of named ones.
  Result<void> read_template() {
    ORRERY_ASSIGN_OR_RETURN(const auto text, read_optional_hf_text(folder_, "chat_template.jinja", kMaxTemplateBytes));
    if (text) {
      if (!is_valid_utf8(*text)) {
        return Error{ErrorCode::kInvalidFile, (folder_ / "chat_template.jinja").string() + ": it is not UTF-8"};
      }
      files_.chat_template = *text;
      return {};
    }
    const HfObject config = config_.object();
    const nlohmann::json* value = config.find("chat_template");
    if (value == nullptr) return {};
    if (!value->is_array()) {
      ORRERY_ASSIGN_OR_RETURN(files_.chat_template, config.text("chat_template"));
      return {};
    }
    for (const nlohmann::json& item : *value) {
      ORRERY_ASSIGN_OR_RETURN(const HfObject named, as_hf_object(item, config.where + ": a chat_template"));
      const nlohmann::json* name = named.find("name");
      if (name == nullptr || *name != "default") continue;
      ORRERY_ASSIGN_OR_RETURN(files_.chat_template, named.text("template"));
    }
    return {};
  }

  Result<void> read_generation() {
    ORRERY_ASSIGN_OR_RETURN(const OptionalFile generation, OptionalFile::read(folder_, "generation_config.json"));
    ORRERY_ASSIGN_OR_RETURN(const OptionalFile model, OptionalFile::read(folder_, "config.json"));
    std::vector<HfObject> from = {generation.object(), model.object()};
    if (const nlohmann::json* inner = model.object().find("text_config"); inner != nullptr && inner->is_object()) {
      from.push_back({inner, model.object().where + ": its text_config"});
    }
    for (const HfObject& file : from) {
      if (files_.end_ids.empty()) {
        ORRERY_ASSIGN_OR_RETURN(files_.end_ids, read_ids(file, "eos_token_id"));
      }
      if (!files_.bos_id) {
        ORRERY_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, read_ids(file, "bos_token_id"));
        if (!ids.empty()) files_.bos_id = ids.front();
      }
    }
    return {};
  }

  const fs::path& folder_;
  OptionalFile config_, map_;
  HfSideFiles files_;
};

}  // namespace

Result<HfSideFiles> HfSideFiles::read(const fs::path& folder) { return SideFileReader(folder).read(); }

}  // namespace orrery

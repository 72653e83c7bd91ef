// Makes a Tokenizer from a Hugging Face folder: tokenizer.json and the files beside it.
#include <algorithm>
#include <filesystem>
#include <limits>
#include <span>
#include <utility>

#include "engine/formats/hf_folder_file.h"
#include "engine/formats/quoted.h"
#include "engine/tokenizer.h"
#include "engine/tokenizers/hf_codec.h"
#include "engine/tokenizers/hf_post_processor.h"
#include "engine/tokenizers/hf_side_files.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMaxTokenizerBytes = size_t{128} << 20;  // the largest in common use have 35 MiB
constexpr size_t kMaxMergesBytes = size_t{64} << 20;
constexpr size_t kMaxStepObjects = 512;  // in a normalizer, a pre-tokenizer or a decoder
constexpr int64_t kHolesPerToken = 8;    // and a million more: models keep some ids free

bool has_file(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// A tokenizer.json's worth of GPT-2's files, vocab.json and merges.txt.
Result<json> read_vocabulary_and_merges(const fs::path& folder, bool add_prefix_space) {
  ORRERY_ASSIGN_OR_RETURN(json vocabulary, read_hf_json(folder, "vocab.json", kMaxTokenizerBytes));
  ORRERY_ASSIGN_OR_RETURN(const auto merges, read_optional_hf_text(folder, "merges.txt", kMaxMergesBytes));
  json lines = json::array();
  for (std::string_view rest = merges ? std::string_view(*merges) : ""; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) lines.emplace_back(line);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  json file;
  file["model"] = {{"type", "BPE"}, {"vocab", std::move(vocabulary)}, {"merges", std::move(lines)}};
  file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}};
  file["decoder"] = {{"type", "ByteLevel"}};
  return file;
}

Result<json> read_tokenizer_json(const fs::path& folder, const HfSideFiles& side) {
  if (has_file(folder / "tokenizer.json")) return read_hf_json(folder, "tokenizer.json", kMaxTokenizerBytes);
  if (has_file(folder / "vocab.json") && has_file(folder / "merges.txt")) {
    return read_vocabulary_and_merges(folder, side.add_prefix_space);
  }
  for (const char* name : {"tokenizer.model", "tekken.json", "tiktoken.model", "vocab.txt"}) {
    if (!has_file(folder / name)) continue;
    return Error{ErrorCode::kUnsupported, "a tokenizer.json is needed, but " + folder.string() +
                                              " has its tokenizer in another form, " + in_quotes(name)};
  }
  return Error{ErrorCode::kNotFound, "there is no tokenizer, no tokenizer.json, in " + folder.string()};
}

// The types of the steps, "Split+ByteLevel".
std::string names_of_steps(const json& step) {
  if (!step.is_object()) return {};
  const auto steps = step.find("pretokenizers");
  if (steps == step.end() || !steps->is_array()) {
    const auto type = step.find("type");
    return type != step.end() && type->is_string() ? printable(type->get_ref<const std::string&>()) : std::string();
  }
  std::string names;
  for (const json& inner : *steps) names += (names.empty() ? "" : "+") + names_of_steps(inner);
  return names;
}

// Used once, by Tokenizer::from_folder.
class HfLoader {
 public:
  HfLoader(const fs::path& folder, const HfSideFiles& side) : folder_(folder), side_(side) {}

  Result<TokenizerParts> load() {
    ORRERY_ASSIGN_OR_RETURN(file_, read_tokenizer_json(folder_, side_));
    ORRERY_RETURN_IF_ERROR(load_steps());
    ORRERY_RETURN_IF_ERROR(load_added_tokens());
    ORRERY_RETURN_IF_ERROR(make_vocabulary());
    ORRERY_RETURN_IF_ERROR(load_ids());
    parts_.model = codec_.model->kind();
    if (const json* step = part("pre_tokenizer")) parts_.pre = names_of_steps(*step);
    parts_.chat_template = side_.chat_template;
    codec_.cleans_up = side_.cleans_up && parts_.model != "BPE";  // which it would damage
    parts_.codec = std::make_unique<const HfCodec>(parts_.vocabulary, std::move(codec_));
    return std::move(parts_);
  }

 private:
  Error invalid(const std::string& why) const {
    return {ErrorCode::kInvalidFile, "the tokenizer of " + folder_.string() + " is damaged: " + why};
  }

  // null where the file has no such part.
  const json* part(const char* name) const {
    const auto at = file_.find(name);
    return at == file_.end() || at->is_null() ? nullptr : &*at;
  }

  // Makes one of the parts, where the file has it.
  template <typename T, typename Make>
  Result<void> load_part(const char* name, T& target, Make&& make) {
    const json* found = part(name);
    if (found == nullptr) return {};
    const std::string where = (folder_ / "tokenizer.json").string() + ": its " + name;
    if (name != std::string_view("model") && count_objects(*found) > kMaxStepObjects) {
      return Error{ErrorCode::kInvalidFile, where + " has too many steps"};
    }
    ORRERY_ASSIGN_OR_RETURN(const HfObject object, as_hf_object(*found, where));
    ORRERY_ASSIGN_OR_RETURN(target, make(object));
    return {};
  }

  Result<void> load_steps() {
    ORRERY_RETURN_IF_ERROR(load_part("model", codec_.model, HfModel::make));
    if (codec_.model == nullptr) return invalid("its tokenizer.json has no model");
    ORRERY_RETURN_IF_ERROR(load_part("normalizer", codec_.normalizer, HfNormalizer::make));
    ORRERY_RETURN_IF_ERROR(load_part("pre_tokenizer", codec_.pre_tokenizer, HfPreTokenizer::make));
    ORRERY_RETURN_IF_ERROR(load_part("decoder", codec_.decoder, HfDecoder::make));
    ORRERY_RETURN_IF_ERROR(load_part("post_processor", frame_, HfFrame::read));
    if (codec_.decoder == nullptr) codec_.decoder = HfDecoder::spaces();
    return {};
  }

  // First those of tokenizer.json, then those of the other files that differ from them or are missing.
  Result<void> load_added_tokens() {
    std::vector<HfAddedToken> tokens;
    if (const json* list = part("added_tokens")) {
      if (!list->is_array()) return invalid("its added_tokens are no list");
      for (const json& item : *list) {
        ORRERY_ASSIGN_OR_RETURN(const HfObject object, as_hf_object(item, "an added token of " + folder_.string()));
        ORRERY_ASSIGN_OR_RETURN(HfAddedToken token, HfAddedToken::read(object));
        tokens.push_back(std::move(token));
      }
    }
    HfAddedTokens& added = codec_.added;
    if (auto done = added.add(tokens, codec_.model->ids()); !done) return invalid(done.error().message);
    tokens.clear();
    const auto is_named = [&](const HfAddedToken& token) {
      return std::any_of(side_.special.begin(), side_.special.end(),
                         [&](const HfAddedToken& special) { return special.content == token.content; });
    };
    for (const HfAddedToken& token : side_.added) {
      const auto id = added.find(token.content);
      if (id && added.by_id().at(*id) == token) continue;
      tokens.push_back(token);
      tokens.back().special = token.special || is_named(token);
    }
    for (const HfAddedToken& token : side_.special) {
      const bool is_known = added.find(token.content) || std::any_of(tokens.begin(), tokens.end(), [&](const auto& t) {
                              return t.content == token.content;
                            });
      if (!is_known) tokens.push_back(token);
    }
    if (auto done = added.add(tokens, codec_.model->ids()); !done) return invalid(done.error().message);
    return added.finish(codec_.normalizer.get());
  }

  Result<void> make_vocabulary() {
    const auto& added = codec_.added.by_id();
    int64_t n_ids = 0;
    for (const auto& [spelling, id] : codec_.model->ids()) n_ids = std::max<int64_t>(n_ids, int64_t{id} + 1);
    for (const auto& [id, token] : added) n_ids = std::max<int64_t>(n_ids, int64_t{id} + 1);
    if (n_ids == 0) return invalid("its vocabulary is empty");
    const auto n_tokens = static_cast<int64_t>(codec_.model->ids().size() + added.size());
    if (n_ids > n_tokens * kHolesPerToken + (1 << 20)) {
      return invalid("its " + std::to_string(n_tokens) + " tokens have ids up to " + std::to_string(n_ids - 1));
    }
    auto spellings = std::make_shared<std::vector<std::string>>(static_cast<size_t>(n_ids));
    auto vocabulary = std::make_shared<Vocabulary>();
    vocabulary->types.assign(spellings->size(), TokenType::kUnused);
    const auto set = [&](int32_t id, const std::string& spelling, TokenType type) {
      (*spellings)[static_cast<size_t>(id)] = spelling;
      vocabulary->types[static_cast<size_t>(id)] = type;
    };
    for (const auto& [spelling, id] : codec_.model->ids()) set(id, spelling, TokenType::kNormal);
    for (const auto& [id, token] : added) {
      const std::string& spelling = codec_.added.spelling(id);
      set(id, spelling, codec_.added.is_special(spelling) ? TokenType::kControl : TokenType::kUserDefined);
    }
    vocabulary->texts.assign(spellings->begin(), spellings->end());
    vocabulary->ids.reserve(spellings->size());
    for (int32_t id = 0; id < vocabulary->size(); ++id) {
      if (vocabulary->type(id) != TokenType::kUnused) vocabulary->ids.emplace(vocabulary->text(id), id);
    }
    vocabulary->memory = std::move(spellings);
    parts_.vocabulary = std::move(vocabulary);
    return {};
  }

  std::optional<int32_t> find(const std::string& content) const {
    if (content.empty()) return std::nullopt;
    const auto id = codec_.added.find(content);
    return id ? id : parts_.vocabulary->find(content);
  }

  Result<void> load_ids() {
    const Vocabulary& vocabulary = *parts_.vocabulary;
    parts_.bos = find(side_.bos);
    parts_.eos = find(side_.eos);
    if (!parts_.bos && side_.bos_id && vocabulary.contains(*side_.bos_id)) parts_.bos = side_.bos_id;
    std::copy_if(side_.end_ids.begin(), side_.end_ids.end(), std::back_inserter(parts_.end_of_generation),
                 [&](int32_t id) { return vocabulary.contains(id); });
    if (!parts_.eos && !parts_.end_of_generation.empty()) parts_.eos = parts_.end_of_generation.front();
    if (parts_.eos) parts_.end_of_generation.push_back(*parts_.eos);

    // With a tokenizer.json its post_processor alone says what stands around a text: transformers 5 passes over
    // add_bos_token and add_eos_token of tokenizer_config.json then.
    if (!has_file(folder_ / "tokenizer.json")) {
      if (side_.add_bos && parts_.bos) frame_.prefix.push_back(*parts_.bos);
      if (side_.add_eos && parts_.eos) frame_.suffix.push_back(*parts_.eos);
    }
    for (const std::vector<int32_t>* ids : {&frame_.prefix, &frame_.suffix}) {
      for (const int32_t id : *ids) {
        if (!vocabulary.contains(id)) return invalid("its post_processor adds an id beyond it: " + std::to_string(id));
      }
    }
    parts_.prefix_ids = std::move(frame_.prefix);
    parts_.suffix_ids = std::move(frame_.suffix);
    return {};
  }

  const fs::path& folder_;
  const HfSideFiles& side_;
  json file_;
  HfCodec::Parts codec_;
  HfFrame frame_;
  TokenizerParts parts_;
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return Error{ErrorCode::kNotFound, "there is no such folder: " + folder.string()};
  }
  ORRERY_ASSIGN_OR_RETURN(const HfSideFiles side, HfSideFiles::read(folder));
  ORRERY_ASSIGN_OR_RETURN(TokenizerParts parts, HfLoader(folder, side).load());
  return from_parts(std::move(parts));
}

}  // namespace orrery

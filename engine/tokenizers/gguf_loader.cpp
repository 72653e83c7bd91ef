// Tokenizer::from_gguf: what the tokenizer.ggml.* metadata of a GGUF file say.
#include <algorithm>
#include <array>

#include "engine/formats/gguf.h"
#include "engine/formats/quoted.h"
#include "engine/tokenizer.h"
#include "engine/tokenizers/byte_bpe.h"
#include "engine/tokenizers/gguf_codec.h"

namespace orrery {
namespace {

// Tokens that end a turn or a text in the vocabularies that carry them, whatever the file's own keys say.
constexpr std::array<std::string_view, 14> kEndNames = {
    "<|im_end|>", "<|eot_id|>",    "<|endoftext|>",      "<|end_of_text|>", "<|eom_id|>", "<|end|>", "<|return|>",
    "<|call|>",   "<end_of_turn>", "<end_of_utterance>", "<EOT>",           "_<EOT>",     "[EOT]",   "[EOS]"};

// Used once, by Tokenizer::from_gguf.
class GgufTokenizerLoader {
 public:
  explicit GgufTokenizerLoader(std::shared_ptr<const GgufFile> file) : kept_(std::move(file)), file_(*kept_) {}

  Result<TokenizerParts> load() {
    ORRERY_RETURN_IF_ERROR(load_model());
    ORRERY_RETURN_IF_ERROR(load_vocabulary());
    auto pre_tokenizer = PreTokenizer::make(parts_.pre);
    if (!pre_tokenizer) return with_path(pre_tokenizer.error());
    ORRERY_RETURN_IF_ERROR(load_special_ids((*pre_tokenizer)->adds_bos()));
    find_end_tokens();
    ORRERY_ASSIGN_OR_RETURN(const auto merges, file_.get_strings("tokenizer.ggml.merges"));
    auto bpe = Bpe::make(vocabulary_->texts, merges, (*pre_tokenizer)->prefers_whole_words());
    if (!bpe) return with_path(bpe.error());
    auto encoder = std::make_unique<const ByteBpe>(std::move(*pre_tokenizer), std::move(*bpe));
    parts_.vocabulary = vocabulary_;
    parts_.codec = std::make_unique<const GgufCodec>(vocabulary_, std::move(encoder));
    return std::move(parts_);
  }

 private:
  Error invalid(const std::string& why) const {
    return Error{ErrorCode::kInvalidFile, file_.path() + " has a damaged tokenizer: " + why};
  }
  Error with_path(const Error& error) const { return {error.code, file_.path() + ": " + error.message}; }

  Result<void> load_model() {
    const GgufValue* model = file_.find("tokenizer.ggml.model");
    if (model == nullptr || model->as_string() == "none" || model->as_string() == "no_vocab") {
      return Error{ErrorCode::kNotFound, file_.path() + " has no tokenizer; give token ids instead (--tokens)"};
    }
    ORRERY_ASSIGN_OR_RETURN(parts_.model, file_.get_string("tokenizer.ggml.model"));
    if (parts_.model != "gpt2") {
      return Error{ErrorCode::kUnsupported,
                   file_.path() +
                       ": this kind of tokenizer is not supported yet (byte-level BPE, \"gpt2\", is); "
                       "give token ids instead (--tokens): " +
                       in_quotes(parts_.model)};
    }
    ORRERY_ASSIGN_OR_RETURN(parts_.pre, file_.get_string("tokenizer.ggml.pre", "default"));
    ORRERY_ASSIGN_OR_RETURN(parts_.chat_template, file_.get_string("tokenizer.chat_template", ""));
    return {};
  }

  Result<void> load_vocabulary() {
    ORRERY_ASSIGN_OR_RETURN(const auto texts, file_.get_strings("tokenizer.ggml.tokens"));
    if (texts.empty()) return invalid("its vocabulary is empty");
    vocabulary_->memory = kept_;
    vocabulary_->texts.assign(texts.begin(), texts.end());
    vocabulary_->types.assign(texts.size(), TokenType::kNormal);
    vocabulary_->ids.reserve(texts.size());
    for (size_t id = 0; id < texts.size(); ++id) vocabulary_->ids.emplace(texts[id], static_cast<int32_t>(id));
    if (file_.find("tokenizer.ggml.token_type") == nullptr) return {};
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> types, file_.get_ints("tokenizer.ggml.token_type"));
    if (types.size() != texts.size()) {
      return invalid("it has " + std::to_string(texts.size()) + " tokens, but types of " +
                     std::to_string(types.size()));
    }
    std::transform(types.begin(), types.end(), vocabulary_->types.begin(), [](int64_t type) {
      return type >= 0 && type <= 6 ? static_cast<TokenType>(type) : TokenType::kUndefined;
    });
    return {};
  }

  // The id under `key`; none where the key is missing. -1 in some files says "none".
  Result<std::optional<int32_t>> optional_id(std::string_view key) {
    const GgufValue* value = file_.find(key);
    if (value == nullptr) return std::optional<int32_t>();
    const auto id = value->as_i64();
    if (id == -1 || id == 0xffffffff) return std::optional<int32_t>();
    if (!id || *id < 0 || *id >= vocabulary_->size()) {
      return invalid(std::string(key) + " is no token of the vocabulary: " + value->to_string());
    }
    return std::optional<int32_t>(static_cast<int32_t>(*id));
  }

  Result<void> load_special_ids(bool default_bos) {
    ORRERY_ASSIGN_OR_RETURN(parts_.bos, optional_id("tokenizer.ggml.bos_token_id"));
    ORRERY_ASSIGN_OR_RETURN(parts_.eos, optional_id("tokenizer.ggml.eos_token_id"));
    ORRERY_ASSIGN_OR_RETURN(const bool add_bos,
                            file_.get_bool("tokenizer.ggml.add_bos_token", default_bos && parts_.bos.has_value()));
    ORRERY_ASSIGN_OR_RETURN(const bool add_eos, file_.get_bool("tokenizer.ggml.add_eos_token", false));
    if (add_bos && !parts_.bos) return invalid("add_bos_token is true, but there is no bos_token_id");
    if (add_eos && !parts_.eos) return invalid("add_eos_token is true, but there is no eos_token_id");
    if (add_bos) parts_.prefix_ids.push_back(*parts_.bos);
    if (add_eos) parts_.suffix_ids.push_back(*parts_.eos);
    if (parts_.eos) parts_.end_of_generation.push_back(*parts_.eos);
    for (const std::string_view key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
      ORRERY_ASSIGN_OR_RETURN(const auto id, optional_id(key));
      if (id) parts_.end_of_generation.push_back(*id);
    }
    return {};
  }

  void find_end_tokens() {
    // In OpenAI's harmony format <|end|> ends a message only.
    const bool is_harmony = vocabulary_->find("<|return|>") && vocabulary_->find("<|call|>");
    for (const std::string_view name : kEndNames) {
      const auto id = vocabulary_->find(name);
      if (!id || (is_harmony && name == "<|end|>")) continue;
      parts_.end_of_generation.push_back(*id);
      vocabulary_->types[static_cast<size_t>(*id)] = TokenType::kControl;  // some files call them normal
    }
  }

  std::shared_ptr<const GgufFile> kept_;
  const GgufFile& file_;
  std::shared_ptr<Vocabulary> vocabulary_ = std::make_shared<Vocabulary>();
  TokenizerParts parts_;
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_gguf(std::shared_ptr<const GgufFile> file) {
  ORRERY_ASSIGN_OR_RETURN(TokenizerParts parts, GgufTokenizerLoader(std::move(file)).load());
  return from_parts(std::move(parts));
}

}  // namespace orrery

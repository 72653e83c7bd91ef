// Makes a Tokenizer from the tokenizer.ggml.* metadata of a GGUF file.
#include <algorithm>
#include <array>

#include "engine/formats/quoted.h"
#include "engine/tokenizer.h"
#include "engine/tokenizers/bpe.h"
#include "engine/tokenizers/pre_tokenizer.h"
#include "engine/tokenizers/special_tokens.h"

namespace orrery {
namespace {

// Tokens that end a turn or a text in the vocabularies that carry them, whatever the file's own keys say.
constexpr std::array<std::string_view, 14> kEndNames = {
    "<|im_end|>", "<|eot_id|>",    "<|endoftext|>",      "<|end_of_text|>", "<|eom_id|>", "<|end|>", "<|return|>",
    "<|call|>",   "<end_of_turn>", "<end_of_utterance>", "<EOT>",           "_<EOT>",     "[EOT]",   "[EOS]"};

}  // namespace

// Used once, by Tokenizer::from_gguf.
class TokenizerLoader {
 public:
  TokenizerLoader(const GgufFile& file, Tokenizer& tokenizer) : file_(file), tokenizer_(tokenizer) {}

  Result<void> load() {
    ORRERY_RETURN_IF_ERROR(load_model_and_pre());
    ORRERY_RETURN_IF_ERROR(load_tokens());
    ORRERY_RETURN_IF_ERROR(load_special_ids());
    find_end_tokens();
    collect_special_tokens();
    return {};
  }

 private:
  Error invalid(const std::string& why) const {
    return Error{ErrorCode::kInvalidFile, file_.path() + " has a damaged tokenizer: " + why};
  }
  static Error with_path(const Error& error, const std::string& path) {
    return {error.code, path + ": " + error.message};
  }

  Result<void> load_model_and_pre() {
    const GgufValue* model = file_.find("tokenizer.ggml.model");
    if (model == nullptr || model->as_string() == "none" || model->as_string() == "no_vocab") {
      return Error{ErrorCode::kNotFound, file_.path() + " has no tokenizer; give token ids instead (--tokens)"};
    }
    ORRERY_ASSIGN_OR_RETURN(tokenizer_.model_, file_.get_string("tokenizer.ggml.model"));
    if (tokenizer_.model_ != "gpt2") {
      return Error{ErrorCode::kUnsupported,
                   file_.path() +
                       ": this kind of tokenizer is not supported yet (byte-level BPE, \"gpt2\", is); "
                       "give token ids instead (--tokens): " +
                       in_quotes(tokenizer_.model_)};
    }
    ORRERY_ASSIGN_OR_RETURN(tokenizer_.pre_, file_.get_string("tokenizer.ggml.pre", "default"));
    ORRERY_ASSIGN_OR_RETURN(tokenizer_.chat_template_, file_.get_string("tokenizer.chat_template", ""));
    auto pre_tokenizer = PreTokenizer::make(tokenizer_.pre_);
    if (!pre_tokenizer) return with_path(pre_tokenizer.error(), file_.path());
    tokenizer_.pre_tokenizer_ = std::move(pre_tokenizer).value();
    return {};
  }

  Result<void> load_tokens() {
    ORRERY_ASSIGN_OR_RETURN(tokenizer_.tokens_, file_.get_strings("tokenizer.ggml.tokens"));
    if (tokenizer_.tokens_.empty()) return invalid("its vocabulary is empty");
    ORRERY_ASSIGN_OR_RETURN(const auto merges, file_.get_strings("tokenizer.ggml.merges"));
    auto bpe = Bpe::make(tokenizer_.tokens_, merges, tokenizer_.pre_tokenizer_->prefers_whole_words());
    if (!bpe) return with_path(bpe.error(), file_.path());
    tokenizer_.bpe_ = std::move(bpe).value();
    tokenizer_.types_.assign(tokenizer_.tokens_.size(), TokenType::kNormal);
    if (file_.find("tokenizer.ggml.token_type") == nullptr) return {};
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> types, file_.get_ints("tokenizer.ggml.token_type"));
    if (types.size() != tokenizer_.tokens_.size()) {
      return invalid("it has " + std::to_string(tokenizer_.tokens_.size()) + " tokens, but types of " +
                     std::to_string(types.size()));
    }
    std::transform(types.begin(), types.end(), tokenizer_.types_.begin(), [](int64_t type) {
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
    if (!id || *id < 0 || *id >= tokenizer_.n_vocab()) {
      return invalid(std::string(key) + " is no token of the vocabulary: " + value->to_string());
    }
    return std::optional<int32_t>(static_cast<int32_t>(*id));
  }

  Result<void> load_special_ids() {
    ORRERY_ASSIGN_OR_RETURN(tokenizer_.bos_, optional_id("tokenizer.ggml.bos_token_id"));
    ORRERY_ASSIGN_OR_RETURN(tokenizer_.eos_, optional_id("tokenizer.ggml.eos_token_id"));
    const bool default_bos = tokenizer_.pre_tokenizer_->adds_bos() && tokenizer_.bos_.has_value();
    ORRERY_ASSIGN_OR_RETURN(tokenizer_.add_bos_, file_.get_bool("tokenizer.ggml.add_bos_token", default_bos));
    ORRERY_ASSIGN_OR_RETURN(tokenizer_.add_eos_, file_.get_bool("tokenizer.ggml.add_eos_token", false));
    if (tokenizer_.add_bos_ && !tokenizer_.bos_) return invalid("add_bos_token is true, but there is no bos_token_id");
    if (tokenizer_.add_eos_ && !tokenizer_.eos_) return invalid("add_eos_token is true, but there is no eos_token_id");
    std::vector<int32_t>& ends = tokenizer_.end_of_generation_;
    if (tokenizer_.eos_) ends.push_back(*tokenizer_.eos_);
    for (const std::string_view key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
      ORRERY_ASSIGN_OR_RETURN(const auto id, optional_id(key));
      if (id) ends.push_back(*id);
    }
    return {};
  }

  void find_end_tokens() {
    std::vector<int32_t>& ends = tokenizer_.end_of_generation_;
    const bool is_harmony =
        tokenizer_.find("<|return|>") && tokenizer_.find("<|call|>");  // <|end|> ends a message only
    for (const std::string_view name : kEndNames) {
      const auto id = tokenizer_.find(name);
      if (!id || (is_harmony && name == "<|end|>")) continue;
      ends.push_back(*id);
      tokenizer_.types_[static_cast<size_t>(*id)] = TokenType::kControl;  // some files call them normal
    }
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  }

  void collect_special_tokens() {
    auto special = std::make_unique<SpecialTokens>();
    auto user_defined = std::make_unique<SpecialTokens>();
    for (int32_t id = 0; id < tokenizer_.n_vocab(); ++id) {
      const TokenType type = tokenizer_.token_type(id);
      if (type == TokenType::kUserDefined) user_defined->add(tokenizer_.token_text(id), id);
      if (type == TokenType::kUserDefined || type == TokenType::kControl || type == TokenType::kUnknown) {
        special->add(tokenizer_.token_text(id), id);
      }
    }
    tokenizer_.special_ = std::move(special);
    tokenizer_.user_defined_ = std::move(user_defined);
  }

  const GgufFile& file_;
  Tokenizer& tokenizer_;
};

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_gguf(std::shared_ptr<const GgufFile> file) {
  const std::shared_ptr<Tokenizer> tokenizer(new Tokenizer);
  tokenizer->file_ = std::move(file);
  ORRERY_RETURN_IF_ERROR(TokenizerLoader(*tokenizer->file_, *tokenizer).load());
  return std::shared_ptr<const Tokenizer>(tokenizer);
}

}  // namespace orrery

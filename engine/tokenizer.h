// Tokenizer: text to token ids and back, read from a GGUF file's vocabulary (byte-level BPE).
// StreamDecoder: ids to text as they come, never splitting a character.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/formats/gguf.h"
#include "kernels/base/result.h"

namespace orrery {

class Bpe;
class PreTokenizer;
class SpecialTokens;

struct EncodeOptions {
  bool add_special = true;  // BOS and EOS where the vocabulary says that prompts carry them
  bool parse_special =
      true;  // control tokens spelled in the text ("<|im_end|>") become their ids; user-defined ones always do
  static EncodeOptions plain() { return {.add_special = false, .parse_special = false}; }  // --no-special
};

// What the vocabulary says a token is; numbered as in GGUF.
enum class TokenType : int32_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

// Immutable; safe from any thread. Keeps the file alive, as its vocabulary is read in place.
class Tokenizer {
 public:
  // kNotFound: the file has no tokenizer. kUnsupported: a tokenizer model or pre-tokenizer that is not there yet,
  // named. kInvalidFile: a damaged vocabulary. The model itself can still be run on token ids.
  static Result<std::shared_ptr<const Tokenizer>> from_gguf(std::shared_ptr<const GgufFile> file);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Any bytes. As in llama.cpp, each byte that belongs to no UTF-8 character is taken for U+FFFD, and bytes that the
  // vocabulary lacks give no id. Empty text gives no ids, not even BOS. Time is near linear in the text's length.
  // kInvalidArgument for text beyond 256 MiB.
  Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions options = {}) const;

  // The bytes of the ids, joined: not necessarily UTF-8. Control tokens as spelled, or left out.
  // kInvalidArgument for an id outside the vocabulary.
  Result<std::string> decode(std::span<const int32_t> ids, bool keep_control = true) const;

  // The bytes that one token stands for; control tokens as spelled; empty for an id outside the vocabulary (models may
  // have more rows than the vocabulary has tokens).
  std::string token_bytes(int32_t id) const;
  std::string_view token_text(int32_t id) const;  // as the vocabulary spells it ("Ġthe"); empty outside
  TokenType token_type(int32_t id) const;         // kUndefined outside
  bool is_control(int32_t id) const { return token_type(id) == TokenType::kControl; }
  bool is_end_of_generation(int32_t id) const;
  std::span<const int32_t> end_of_generation_ids() const { return end_of_generation_; }  // ascending

  std::optional<int32_t> find(std::string_view token_text) const;  // by the vocabulary's spelling
  std::optional<int32_t> bos() const { return bos_; }
  std::optional<int32_t> eos() const { return eos_; }
  bool adds_bos() const { return add_bos_; }
  bool adds_eos() const { return add_eos_; }
  int32_t n_vocab() const { return static_cast<int32_t>(tokens_.size()); }
  std::string_view model() const { return model_; }                  // tokenizer.ggml.model: "gpt2"
  std::string_view pre_tokenizer() const { return pre_; }            // tokenizer.ggml.pre: "smollm"
  std::string_view chat_template() const { return chat_template_; }  // Jinja source; empty where there is none

 private:
  friend class TokenizerLoader;
  Tokenizer();
  Result<void> encode_plain(std::string_view text, std::vector<int32_t>& ids) const;

  std::shared_ptr<const GgufFile> file_;
  std::span<const std::string_view> tokens_;  // [n_vocab]
  std::vector<TokenType> types_;              // [n_vocab]
  std::string_view model_, pre_, chat_template_;
  std::optional<int32_t> bos_, eos_;
  bool add_bos_ = false;
  bool add_eos_ = false;
  std::vector<int32_t> end_of_generation_;
  std::unique_ptr<const Bpe> bpe_;
  std::unique_ptr<const PreTokenizer> pre_tokenizer_;
  std::unique_ptr<const SpecialTokens> special_;       // parsed on request: control, unknown and user-defined
  std::unique_ptr<const SpecialTokens> user_defined_;  // always parsed
};

// Turns ids into text piece by piece: what push() returns is always whole characters of valid UTF-8; bytes that can
// never become one are replaced by U+FFFD. One generation each; not thread safe.
class StreamDecoder {
 public:
  // `tokenizer` must outlive the decoder. Control tokens are left out unless wanted.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool keep_control = false)
      : tokenizer_(tokenizer), keep_control_(keep_control) {}

  std::string push(int32_t id);                    // the characters completed by this token; may be empty
  std::string push_bytes(std::string_view bytes);  // the same for bytes at hand
  std::string finish();                            // what is left: an unfinished character becomes U+FFFD

 private:
  const Tokenizer& tokenizer_;
  bool keep_control_;
  std::string pending_;  // at most 3 bytes: the start of a character
};

}  // namespace orrery

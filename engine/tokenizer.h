// Tokenizer: text to token ids and back, with a GGUF file's or a Hugging Face folder's vocabulary.
// StreamDecoder: ids to text as they come, never splitting a character.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tokenizers/text_codec.h"
#include "engine/tokenizers/vocabulary.h"
#include "kernels/base/result.h"

namespace orrery {

class GgufFile;

struct EncodeOptions {
  bool add_special = true;  // BOS and EOS where the vocabulary says that prompts carry them
  bool parse_special =
      true;  // control tokens spelled in the text ("<|im_end|>") become their ids; user-defined ones always do
  static EncodeOptions plain() { return {.add_special = false, .parse_special = false}; }  // --no-special
};

// What a loader reads from a file, whichever kind it is.
struct TokenizerParts {
  std::shared_ptr<const Vocabulary> vocabulary;
  std::unique_ptr<const TextCodec> codec;
  std::vector<int32_t> prefix_ids, suffix_ids;  // before and after a text with add_special: BOS, EOS or a template's
  std::optional<int32_t> bos, eos;
  std::vector<int32_t> end_of_generation;  // any order
  std::string model;                       // the kind of tokenizer: tokenizer.ggml.model ("gpt2")
  std::string pre;                         // tokenizer.ggml.pre ("smollm"); empty where the kind knows none
  std::string chat_template;               // Jinja source; empty where there is none
};

// Immutable; safe from any thread.
class Tokenizer {
 public:
  // kNotFound: the file has no tokenizer. kUnsupported: a tokenizer model or pre-tokenizer that is not there yet,
  // named. kInvalidFile: a damaged vocabulary. The model itself can still be run on token ids.
  // Keeps the file open, as its vocabulary is read in place.
  static Result<std::shared_ptr<const Tokenizer>> from_gguf(std::shared_ptr<const GgufFile> file);

  // From a Hugging Face folder: tokenizer.json, or GPT-2's vocab.json and merges.txt, with the special tokens, ends of
  // generation and chat template of the files beside it, which may be missing; weights and config.json too. kNotFound:
  // the folder has no tokenizer. kUnsupported: one in another form, or a step that is not there, by its name.
  // kInvalidFile: a damaged file.
  static Result<std::shared_ptr<const Tokenizer>> from_folder(const std::filesystem::path& folder);

  // What the loaders end with. Every id lies in the vocabulary.
  static std::shared_ptr<const Tokenizer> from_parts(TokenizerParts parts);

  ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Any bytes. Empty text gives no ids, not even BOS. Time is near linear in the text's length.
  // kInvalidArgument for text beyond 256 MiB.
  Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions options = {}) const;

  // The bytes of the ids, joined: not necessarily UTF-8. Control tokens as spelled, or left out.
  // kInvalidArgument for an id outside the vocabulary.
  Result<std::string> decode(std::span<const int32_t> ids, bool keep_control = true) const;

  // The bytes that one token stands for; control tokens as spelled; empty for an id outside the vocabulary (models may
  // have more rows than the vocabulary has tokens).
  std::string token_bytes(int32_t id) const;
  std::string_view token_text(int32_t id) const { return parts_.vocabulary->text(id); }  // "Ġthe"; empty outside
  TokenType token_type(int32_t id) const { return parts_.vocabulary->type(id); }         // kUndefined outside
  bool is_control(int32_t id) const { return token_type(id) == TokenType::kControl; }
  bool is_end_of_generation(int32_t id) const;
  std::span<const int32_t> end_of_generation_ids() const { return parts_.end_of_generation; }  // ascending

  // By the vocabulary's spelling.
  std::optional<int32_t> find(std::string_view token_text) const { return parts_.vocabulary->find(token_text); }
  std::optional<int32_t> bos() const { return parts_.bos; }
  std::optional<int32_t> eos() const { return parts_.eos; }
  // What stands before a text with add_special: BOS, or all that a template puts there.
  std::span<const int32_t> prefix_ids() const { return parts_.prefix_ids; }
  bool adds_bos() const { return adds(parts_.prefix_ids, parts_.bos); }
  bool adds_eos() const { return adds(parts_.suffix_ids, parts_.eos); }
  int32_t n_vocab() const { return parts_.vocabulary->size(); }
  std::string_view model() const { return parts_.model; }
  std::string_view pre_tokenizer() const { return parts_.pre; }
  std::string_view chat_template() const { return parts_.chat_template; }

 private:
  explicit Tokenizer(TokenizerParts parts) : parts_(std::move(parts)) {}
  static bool adds(const std::vector<int32_t>& ids, std::optional<int32_t> id);

  const TokenizerParts parts_;
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

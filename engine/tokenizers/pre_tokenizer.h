// PreTokenizer: cuts text into the words within which BPE may merge. Each vocabulary was trained with one way of
// cutting, which GGUF names in tokenizer.ggml.pre.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/base/result.h"

namespace orrery {

// Immutable; safe from any thread.
class PreTokenizer {
 public:
  // kUnsupported for a name that is not known, ending with it.
  static Result<std::unique_ptr<const PreTokenizer>> make(std::string_view name);

  ~PreTokenizer();
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  // Calls `on_word` for each word, in order; together they are the whole text. `text` must be valid UTF-8.
  Result<void> split(std::string_view text, const std::function<void(std::string_view)>& on_word) const;

  // A word that is itself a token is not taken apart (Llama 3's vocabulary holds words that no merges lead to).
  bool prefers_whole_words() const { return prefers_whole_words_; }
  // Whether prompts start with BOS where the file does not say.
  bool adds_bos() const { return adds_bos_; }

 private:
  class Pattern;
  struct Family;
  static const Family* find_family(std::string_view name);
  PreTokenizer();
  Result<void> split_from(size_t stage, std::string_view text,
                          const std::function<void(std::string_view)>& on_word) const;

  std::vector<std::unique_ptr<const Pattern>> stages_;  // each cuts the pieces that the one before left
  bool prefers_whole_words_ = false;
  bool adds_bos_ = false;
};

}  // namespace orrery

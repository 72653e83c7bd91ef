// PreTokenizer: cuts text into the words within which BPE may merge. Each vocabulary was trained with one way of
// cutting, which GGUF names in tokenizer.ggml.pre; pre_tokenizer_families.cpp lists them.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/tokenizers/pre_tokenizer_families.h"
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

  // Calls `on_word` for each word, in order; together they are the whole text, of which invalid UTF-8 has been replaced
  // as code_points.h says. The view holds during the call.
  Result<void> split(std::string_view text, const std::function<void(std::string_view)>& on_word) const;

  const PreTokenizerFamily& family() const { return family_; }

 private:
  class Stage;
  class Text;
  explicit PreTokenizer(const PreTokenizerFamily& family);

  const PreTokenizerFamily& family_;
  std::vector<std::unique_ptr<const Stage>> stages_;  // each cuts the pieces that the one before left
};

}  // namespace orrery

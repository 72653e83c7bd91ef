// Vocabulary: the tokens of a tokenizer by id and by spelling, whichever file they came from.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/tokenizers/spelling_index.h"

namespace orrery {

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

// Immutable once made; safe from any thread.
struct Vocabulary {
  std::shared_ptr<const void> memory;   // keeps alive what the spellings point into
  std::vector<std::string_view> texts;  // [n_vocab] as the file spells them ("Ġthe", "▁the")
  std::vector<TokenType> types;         // [n_vocab]
  SpellingIndex ids;                    // by spelling; of two, the first

  int32_t size() const { return static_cast<int32_t>(texts.size()); }
  bool contains(int32_t id) const { return id >= 0 && id < size(); }
  // Empty and kUndefined outside the vocabulary.
  std::string_view text(int32_t id) const { return contains(id) ? texts[static_cast<size_t>(id)] : std::string_view(); }
  TokenType type(int32_t id) const { return contains(id) ? types[static_cast<size_t>(id)] : TokenType::kUndefined; }
  std::optional<int32_t> find(std::string_view spelling) const { return ids.find(spelling); }
};

}  // namespace orrery

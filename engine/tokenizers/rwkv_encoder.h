// RwkvEncoder: RWKV's world tokenizer ("rwkv"): at each place the longest token that begins there.
#pragma once

#include <memory>
#include <optional>

#include "engine/tokenizers/byte_trie.h"
#include "engine/tokenizers/fragment_encoder.h"
#include "engine/tokenizers/vocabulary.h"

namespace orrery {

// The bytes that a token's spelling stands for: "\n", "\x1b" and the like are escapes.
std::string unescape_rwkv(std::string_view spelling);

class RwkvEncoder final : public FragmentEncoder {
 public:
  // A byte that begins no token becomes `unknown`, or nothing.
  RwkvEncoder(const Vocabulary& vocabulary, std::optional<int32_t> unknown);

  Result<void> encode(std::string_view fragment, bool begins, std::vector<int32_t>& ids) const override;

 private:
  ByteTrie tokens_;
  std::optional<int32_t> unknown_;
};

}  // namespace orrery

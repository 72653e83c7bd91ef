// The tokens of a GGUF vocabulary that mean something to a program: BOS, EOS, the ends of generation, by the file's
// keys and, as files often do not say, by the tokens' names.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/formats/gguf.h"
#include "engine/tokenizers/vocabulary.h"

namespace orrery {

struct SpecialIds {
  std::optional<int32_t> bos, eos, unknown, separator;  // before reading: what the kind of tokenizer takes for granted
  bool has_eos_key = false;
};

// Reads the ids over `ids`, which come with defaults. A default or an id outside the vocabulary counts for nothing.
void read_special_ids(const GgufFile& file, const Vocabulary& vocabulary, SpecialIds& ids);

// The tokens that end a turn or a text. Changes the types of known tokens that files give wrong ones: so does
// llama.cpp, from which the names come.
std::vector<int32_t> find_end_tokens(const GgufFile& file, const SpecialIds& ids, Vocabulary& vocabulary);

}  // namespace orrery

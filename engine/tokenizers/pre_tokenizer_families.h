// The ways of cutting text into words that GGUF files name, with what else llama.cpp derives from the name.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace orrery {

// One step of cutting: what a pattern matches becomes a piece, and so does what lies between two matches.
struct SplitStage {
  enum class Kind : uint8_t {
    // A regular expression over general categories: \p{N} \p{L} \p{M} \p{P} \p{S}, and of our own \p{L>} (letters
    // beyond ASCII), \p{Han} (with the family's tells_han). \d, \w, \b know ASCII only; \s is any white space.
    kCategories,
    // A regular expression over code points. White space beyond ASCII is \s, and nothing else: not of any class.
    kCharacters,
    // Runs of digits in threes from the right; regular expressions for these would look ahead over the whole run for
    // every three.
    kThreesByNumbers,  // \p{N}; cut after each three and after the one or two that lead, not before
    kThreesByDigits    // ASCII digits; cut before each three
  };
  Kind kind;
  const char* pattern;  // null for threes
};

struct PreTokenizerFamily {
  // When a whole word is looked up before its pieces are merged (Llama 3's has words that no merges lead to).
  enum class WholeWords : uint8_t { kNever, kAlways, kLineBreaks };

  std::array<std::string_view, 16> names;  // empty ones are none
  std::span<const SplitStage> stages;
  WholeWords whole_words = WholeWords::kNever;
  bool adds_bos = false;             // where the file does not say
  bool always_adds_bos = false;      // even where the file says no
  bool has_default_bos = true;       // false: no BOS where the file names none
  bool needs_separator = false;      // a file without separator token is damaged
  bool spells_bytes = true;          // tokens are spelled in the byte alphabet; else as they are, with ▁ and <0x0A>
  bool escapes_white_space = false;  // spaces become ▁
  bool tells_han = false;            // Chinese characters are no letters
};

// Null for a name that is not known. An empty name is "default".
const PreTokenizerFamily* find_pre_tokenizer_family(std::string_view name);

// All of them, for tests.
std::span<const PreTokenizerFamily> pre_tokenizer_families();

}  // namespace orrery

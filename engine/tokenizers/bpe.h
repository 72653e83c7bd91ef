// Bpe: byte pair encoding of one word at a time.
//
// A word starts as its characters; the adjacent pair of lowest rank merges first, the leftmost of equals, until no pair
// of the vocabulary's merges is left (Sennrich et al. 2016; bytes for characters as in GPT-2). A heap over a linked
// list makes that O(n log n) in the word's length.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/tokenizers/vocabulary.h"
#include "kernels/base/result.h"

namespace orrery {

// Immutable once made; safe from any thread with a scratch each.
class Bpe {
 public:
  enum class Characters : uint8_t {
    kBytes,  // spelled in the byte alphabet: what is no token falls apart into bytes, of which some may be none either
    kUtf8    // spelled as they are: what is no token falls apart into byte tokens, "<0x0A>"
  };

  // Working memory of encode_word, reused from word to word.
  class Scratch {
    friend class Bpe;
    struct Piece {
      int32_t symbol;
      uint32_t begin;          // first byte in the word
      int32_t previous, next;  // indexes of pieces, -1 at the ends
    };
    struct Pair {
      int32_t rank;
      int32_t left, right;                // indexes of pieces
      int32_t left_symbol, right_symbol;  // as they were: the pair is stale where one has changed
    };
    std::vector<Piece> pieces_;
    std::vector<Pair> heap_;
  };

  // merges: "left right", by rank. kInvalidFile for a merge without two parts or a vocabulary too large.
  static Result<std::unique_ptr<const Bpe>> make(std::shared_ptr<const Vocabulary> vocabulary,
                                                 std::span<const std::string_view> merges, Characters characters);

  // Appends the ids of `word` (UTF-8; at most 2^31 - 1 bytes). Bytes that the vocabulary lacks give no id, as in the
  // reference tokenizers.
  void encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const;

  // The token that is this word, whether merges lead to it or not.
  std::optional<int32_t> find_word(std::string_view word) const;

 private:
  static constexpr int32_t kNone = -1;
  struct Merge {
    uint64_t pair = kNoPair;  // left symbol << 32 | right symbol
    int32_t rank = 0;
    int32_t result = 0;  // symbol
  };
  static constexpr uint64_t kNoPair = UINT64_MAX;

  Bpe(std::shared_ptr<const Vocabulary> vocabulary, Characters characters);
  int32_t add_symbol(std::string_view spelling);
  int32_t symbol_of(std::string_view spelling) const;
  void start(std::string_view word, Scratch& scratch) const;
  size_t place_of_merge(uint64_t pair) const;  // where it is or would be
  const Merge* find_merge(int32_t left, int32_t right) const;
  void push_pair(int32_t left, Scratch& scratch) const;
  void merge_all(Scratch& scratch) const;

  // A symbol below the vocabulary's size is a token; above, a spelling that only merges name, kept in extra_; kNone is
  // a character that neither knows.
  std::shared_ptr<const Vocabulary> vocabulary_;
  Characters characters_;
  std::deque<std::string> extra_;
  std::unordered_map<std::string_view, int32_t> extra_symbols_;
  std::vector<Merge> merges_;  // open addressing, a power of two, at most half full
  std::array<int32_t, 256> byte_symbols_{};
  std::array<std::vector<int32_t>, 256> byte_ids_;  // what a byte becomes that is in no token
};

}  // namespace orrery

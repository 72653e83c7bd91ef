// Bpe: byte-level byte pair encoding of one word at a time.
//
// A word starts as its bytes; the adjacent pair of lowest rank merges first, the leftmost of equals, until no pair of
// the vocabulary's merges is left (Sennrich et al. 2016; bytes as in GPT-2). A heap over a linked list makes that
// O(n log n) in the word's length.
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

#include "kernels/base/result.h"

namespace orrery {

// Immutable once made; safe from any thread with a scratch each. Keeps views of `tokens`.
class Bpe {
 public:
  // Working memory of encode_word, reused from word to word.
  class Scratch {
    friend class Bpe;
    struct Piece {
      int32_t symbol;
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

  // tokens: [n_vocab] spelled in the byte alphabet. merges: "left right", by rank. kInvalidFile for a merge without two
  // parts or a vocabulary too large.
  static Result<std::unique_ptr<const Bpe>> make(std::span<const std::string_view> tokens,
                                                 std::span<const std::string_view> merges, bool prefers_whole_words);

  // Appends the ids of `word` (bytes, not spelling; at most 2^31 - 1). Bytes that the vocabulary lacks give no id, as
  // in the reference tokenizers.
  void encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const;

  // The id of a token by its spelling; of two, the first.
  std::optional<int32_t> find(std::string_view spelling) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t result;  // symbol
  };

  Bpe() = default;
  int32_t symbol_of(std::string_view spelling);
  const Merge* find_merge(int32_t left, int32_t right) const;
  void push_pair(int32_t left, Scratch& scratch) const;
  void append_ids(int32_t symbol, std::vector<int32_t>& ids) const;

  // A symbol below n_tokens_ is a token; above, a spelling that only merges name, kept in extra_.
  int32_t n_tokens_ = 0;
  std::deque<std::string> extra_;
  std::unordered_map<std::string_view, int32_t> symbols_;  // spelling -> symbol
  std::unordered_map<uint64_t, Merge> merges_;             // left symbol << 32 | right symbol
  std::array<int32_t, 256> byte_symbols_{};
  bool prefers_whole_words_ = false;
};

}  // namespace orrery

// HfBpe: byte pair encoding as the Hugging Face tokenizers do it.
//
// A piece starts as its characters; the adjacent pair of the earliest merge becomes one, the leftmost of equals, until
// no merge is left (Sennrich et al. 2016). A character that is no token is spelled by byte tokens, or is unknown.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/tokenizers/hf_model.h"

namespace orrery {

class HfBpe final : public HfModel {
 public:
  static Result<std::unique_ptr<const HfModel>> read(const HfObject& object);

  // As HfModel's; a heap over a linked list makes it O(n log n) in the piece's length.
  Result<void> encode(std::string_view piece, std::vector<int32_t>& ids) const override;

 private:
  struct Merge {
    int32_t rank;
    int32_t result;  // id
  };
  struct Symbol {
    int32_t id;
    int32_t previous, next;  // indexes, -1 at the ends
    bool is_gone = false;
  };
  struct Candidate {
    int32_t rank;
    int32_t left;    // index
    int32_t result;  // id
  };

  HfBpe(HfIds ids) : HfModel("BPE", std::move(ids)) {}
  Result<void> read_options(const HfObject& object);
  Result<void> read_merges(const HfObject& object);
  Result<void> add_merge(const HfObject& object, size_t rank, std::string_view left, std::string_view right);

  // The token of one character of a piece, with the prefix and the suffix that its place asks for.
  std::optional<int32_t> find_character(std::string_view bytes, bool is_first, bool is_last) const;
  bool append_bytes(std::string_view bytes, bool is_first, bool is_last, std::vector<Symbol>& symbols) const;
  std::vector<Symbol> symbols_of(std::string_view piece) const;
  void merge_all(std::vector<Symbol>& symbols) const;
  const Merge* find_merge(int32_t left, int32_t right) const;

  std::unordered_map<uint64_t, Merge> merges_;        // left id << 32 | right id
  std::unordered_map<char32_t, int32_t> characters_;  // tokens of one character
  std::optional<std::array<int32_t, 256>> byte_ids_;  // -1 where the vocabulary lacks one
  std::optional<int32_t> unknown_;
  std::string prefix_, suffix_;  // of characters inside a word, of its last
  bool fuse_unknown_ = false;
  bool prefers_whole_pieces_ = false;
};

}  // namespace orrery

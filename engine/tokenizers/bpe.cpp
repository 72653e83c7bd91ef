#include "engine/tokenizers/bpe.h"

#include <algorithm>
#include <limits>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/byte_alphabet.h"

namespace orrery {
namespace {

// Tokens and merges together; far above any vocabulary, far below what int32 symbols allow.
constexpr size_t kMaxSymbols = size_t{1} << 28;

uint64_t pair_key(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace

Result<std::unique_ptr<const Bpe>> Bpe::make(std::span<const std::string_view> tokens,
                                             std::span<const std::string_view> merges, bool prefers_whole_words) {
  if (tokens.size() + merges.size() > kMaxSymbols) {
    return Error{ErrorCode::kInvalidFile, "the vocabulary has too many tokens and merges: " +
                                              std::to_string(tokens.size()) + " and " + std::to_string(merges.size())};
  }
  std::unique_ptr<Bpe> bpe(new Bpe);
  bpe->prefers_whole_words_ = prefers_whole_words;
  bpe->n_tokens_ = static_cast<int32_t>(tokens.size());
  bpe->symbols_.reserve(tokens.size() + 256);
  for (int32_t id = 0; id < bpe->n_tokens_; ++id) bpe->symbols_.emplace(tokens[static_cast<size_t>(id)], id);
  for (int byte = 0; byte < 256; ++byte) {
    bpe->byte_symbols_[static_cast<size_t>(byte)] = bpe->symbol_of(spelling_of_byte(static_cast<uint8_t>(byte)));
  }
  bpe->merges_.reserve(merges.size());
  std::string joined;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const size_t space = merge.find(' ', 1);  // from 1: a part may itself be a space in odd vocabularies
    if (merge.empty() || space == std::string_view::npos || space + 1 == merge.size()) {
      return Error{ErrorCode::kInvalidFile, "merge " + std::to_string(rank) + " has no two parts: " + in_quotes(merge)};
    }
    joined = merge.substr(0, space);
    joined += merge.substr(space + 1);
    const int32_t left = bpe->symbol_of(merge.substr(0, space));
    const int32_t right = bpe->symbol_of(merge.substr(space + 1));
    bpe->merges_.emplace(pair_key(left, right), Merge{static_cast<int32_t>(rank), bpe->symbol_of(joined)});
  }
  return std::unique_ptr<const Bpe>(std::move(bpe));
}

int32_t Bpe::symbol_of(std::string_view spelling) {
  if (const auto found = symbols_.find(spelling); found != symbols_.end()) return found->second;
  const auto symbol = static_cast<int32_t>(static_cast<size_t>(n_tokens_) + extra_.size());
  symbols_.emplace(extra_.emplace_back(spelling), symbol);
  return symbol;
}

std::optional<int32_t> Bpe::find(std::string_view spelling) const {
  const auto found = symbols_.find(spelling);
  if (found == symbols_.end() || found->second >= n_tokens_) return std::nullopt;
  return found->second;
}

const Bpe::Merge* Bpe::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

// Orders the heap: its top is the pair of lowest rank, the leftmost of equals.
static constexpr auto kMergesLater = [](const auto& a, const auto& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
};

void Bpe::push_pair(int32_t left, Scratch& scratch) const {
  if (left < 0) return;
  const Scratch::Piece& piece = scratch.pieces_[static_cast<size_t>(left)];
  if (piece.next < 0) return;
  const int32_t right_symbol = scratch.pieces_[static_cast<size_t>(piece.next)].symbol;
  const Merge* merge = find_merge(piece.symbol, right_symbol);
  if (merge == nullptr) return;
  scratch.heap_.push_back({merge->rank, left, piece.next, piece.symbol, right_symbol});
  std::push_heap(scratch.heap_.begin(), scratch.heap_.end(), kMergesLater);
}

void Bpe::encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const {
  CHECK(word.size() <= static_cast<size_t>(std::numeric_limits<int32_t>::max()));
  if (word.empty()) return;
  if (prefers_whole_words_) {
    if (const auto whole = find(spell_bytes(word))) {
      ids.push_back(*whole);
      return;
    }
  }
  const auto n = static_cast<int32_t>(word.size());
  std::vector<Scratch::Piece>& pieces = scratch.pieces_;
  pieces.clear();
  scratch.heap_.clear();
  for (int32_t i = 0; i < n; ++i) {
    const auto byte = static_cast<uint8_t>(word[static_cast<size_t>(i)]);
    pieces.push_back({byte_symbols_[byte], i - 1, i + 1 < n ? i + 1 : -1});
  }
  for (int32_t i = 0; i + 1 < n; ++i) push_pair(i, scratch);
  while (!scratch.heap_.empty()) {
    std::pop_heap(scratch.heap_.begin(), scratch.heap_.end(), kMergesLater);
    const Scratch::Pair pair = scratch.heap_.back();
    scratch.heap_.pop_back();
    Scratch::Piece& left = pieces[static_cast<size_t>(pair.left)];
    Scratch::Piece& right = pieces[static_cast<size_t>(pair.right)];
    if (left.symbol != pair.left_symbol || left.next != pair.right || right.symbol != pair.right_symbol) continue;
    left.symbol = find_merge(left.symbol, right.symbol)->result;
    left.next = right.next;
    if (right.next >= 0) pieces[static_cast<size_t>(right.next)].previous = pair.left;
    right.symbol = -1;
    push_pair(left.previous, scratch);
    push_pair(pair.left, scratch);
  }
  for (int32_t i = 0; i >= 0; i = pieces[static_cast<size_t>(i)].next)
    append_ids(pieces[static_cast<size_t>(i)].symbol, ids);
}

// A spelling that is no token falls apart into its bytes.
void Bpe::append_ids(int32_t symbol, std::vector<int32_t>& ids) const {
  if (symbol < n_tokens_) {
    ids.push_back(symbol);
    return;
  }
  const std::string bytes = bytes_of_spelling(extra_[static_cast<size_t>(symbol - n_tokens_)]);
  for (const char byte : bytes) {
    const int32_t id = byte_symbols_[static_cast<uint8_t>(byte)];
    if (id < n_tokens_) ids.push_back(id);
  }
}

}  // namespace orrery

#include "engine/tokenizers/bpe.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/byte_alphabet.h"
#include "engine/tokenizers/byte_tokens.h"
#include "engine/tokenizers/code_points.h"
#include "engine/tokenizers/seeded_hash.h"

namespace orrery {
namespace {

// Tokens and merges together; far above any vocabulary, far below what int32 symbols allow.
constexpr size_t kMaxSymbols = size_t{1} << 28;

uint64_t pair_key(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// Orders the heap: its top is the pair of lowest rank, the leftmost of equals.
constexpr auto kMergesLater = [](const auto& a, const auto& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
};

}  // namespace

Bpe::Bpe(std::shared_ptr<const Vocabulary> vocabulary, Characters characters)
    : vocabulary_(std::move(vocabulary)), characters_(characters) {
  for (size_t value = 0; value < 256; ++value) {
    const auto byte = static_cast<uint8_t>(value);
    const std::string_view spelling = spelling_of_byte(byte);
    const auto add = [&](std::string_view text) {
      if (const auto id = vocabulary_->find(text)) byte_ids_[value].push_back(*id);
    };
    if (characters_ == Characters::kUtf8) {
      add(byte_token(byte));
    } else {
      byte_symbols_[value] = add_symbol(spelling);
      for (size_t i = 0; i < spelling.size(); ++i) add(spelling.substr(i, 1));  // so does llama.cpp
    }
  }
}

Result<std::unique_ptr<const Bpe>> Bpe::make(std::shared_ptr<const Vocabulary> vocabulary,
                                             std::span<const std::string_view> merges, Characters characters) {
  if (vocabulary->texts.size() + merges.size() > kMaxSymbols) {
    return Error{ErrorCode::kInvalidFile,
                 "the vocabulary has too many tokens and merges: " + std::to_string(vocabulary->size()) + " and " +
                     std::to_string(merges.size())};
  }
  std::unique_ptr<Bpe> bpe(new Bpe(std::move(vocabulary), characters));
  bpe->merges_.resize(std::bit_ceil(2 * merges.size() + 2));
  std::string joined;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const size_t space = merge.find(' ', 1);  // from 1: a part may itself be a space in odd vocabularies
    if (merge.empty() || space == std::string_view::npos || space + 1 == merge.size()) {
      return Error{ErrorCode::kInvalidFile, "merge " + std::to_string(rank) + " has no two parts: " + in_quotes(merge)};
    }
    joined = merge.substr(0, space);
    joined += merge.substr(space + 1);
    const int32_t left = bpe->add_symbol(merge.substr(0, space));
    const int32_t right = bpe->add_symbol(merge.substr(space + 1));
    Merge& place = bpe->merges_[bpe->place_of_merge(pair_key(left, right))];
    if (place.pair == kNoPair) place = {pair_key(left, right), static_cast<int32_t>(rank), bpe->add_symbol(joined)};
  }
  return std::unique_ptr<const Bpe>(std::move(bpe));
}

int32_t Bpe::symbol_of(std::string_view spelling) const {
  if (const auto id = vocabulary_->find(spelling)) return *id;
  const auto found = extra_symbols_.find(spelling);
  return found == extra_symbols_.end() ? kNone : found->second;
}

int32_t Bpe::add_symbol(std::string_view spelling) {
  if (const int32_t known = symbol_of(spelling); known != kNone) return known;
  const auto symbol = static_cast<int32_t>(vocabulary_->texts.size() + extra_.size());
  extra_symbols_.emplace(extra_.emplace_back(spelling), symbol);
  return symbol;
}

std::optional<int32_t> Bpe::find_word(std::string_view word) const {
  return characters_ == Characters::kBytes ? vocabulary_->find(spell_bytes(word)) : vocabulary_->find(word);
}

size_t Bpe::place_of_merge(uint64_t pair) const {
  const size_t mask = merges_.size() - 1;
  size_t at = seeded_hash(pair) & mask;
  while (merges_[at].pair != pair && merges_[at].pair != kNoPair) at = (at + 1) & mask;
  return at;
}

const Bpe::Merge* Bpe::find_merge(int32_t left, int32_t right) const {
  if (left == kNone || right == kNone) return nullptr;
  const Merge& merge = merges_[place_of_merge(pair_key(left, right))];
  return merge.pair == kNoPair ? nullptr : &merge;
}

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

void Bpe::start(std::string_view word, Scratch& scratch) const {
  std::vector<Scratch::Piece>& pieces = scratch.pieces_;
  pieces.clear();
  scratch.heap_.clear();
  for (size_t begin = 0; begin < word.size();) {
    const size_t length = characters_ == Characters::kBytes ? 1 : length_by_lead(word[begin]);
    const int32_t symbol = characters_ == Characters::kBytes ? byte_symbols_[static_cast<uint8_t>(word[begin])]
                                                             : symbol_of(word.substr(begin, length));
    const auto index = static_cast<int32_t>(pieces.size());
    pieces.push_back({symbol, static_cast<uint32_t>(begin), index - 1, index + 1});
    begin += std::min(length, word.size() - begin);
  }
  pieces.back().next = -1;
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(pieces.size()); ++i) push_pair(i, scratch);
}

void Bpe::merge_all(Scratch& scratch) const {
  std::vector<Scratch::Piece>& pieces = scratch.pieces_;
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
    right.symbol = kNone;
    push_pair(left.previous, scratch);
    push_pair(pair.left, scratch);
  }
}

void Bpe::encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const {
  CHECK(word.size() <= static_cast<size_t>(std::numeric_limits<int32_t>::max()));
  if (word.empty()) return;
  start(word, scratch);
  merge_all(scratch);
  const std::vector<Scratch::Piece>& pieces = scratch.pieces_;
  for (int32_t i = 0; i >= 0; i = pieces[static_cast<size_t>(i)].next) {
    const Scratch::Piece& piece = pieces[static_cast<size_t>(i)];
    if (vocabulary_->contains(piece.symbol)) {
      ids.push_back(piece.symbol);
      continue;
    }
    const size_t end = piece.next < 0 ? word.size() : pieces[static_cast<size_t>(piece.next)].begin;
    for (const char byte : word.substr(piece.begin, end - piece.begin)) {
      const std::vector<int32_t>& of_byte = byte_ids_[static_cast<uint8_t>(byte)];
      ids.insert(ids.end(), of_byte.begin(), of_byte.end());
    }
  }
}

}  // namespace orrery

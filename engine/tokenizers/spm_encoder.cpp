#include "engine/tokenizers/spm_encoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "engine/tokenizers/byte_tokens.h"
#include "engine/tokenizers/code_points.h"
#include "engine/tokenizers/escaped_spaces.h"

namespace orrery {
namespace {

struct Piece {
  uint32_t begin, size;    // bytes; size 0: joined to the one before
  int32_t previous, next;  // indexes of pieces, -1 at the ends
};

struct Pair {
  float score;
  int32_t left, right;  // indexes of pieces
  uint32_t size;        // of both as they were: the pair is stale where one has grown
};

// Orders the heap: its top is the pair of highest score, the leftmost of equals.
constexpr auto kJoinsLater = [](const Pair& a, const Pair& b) {
  return a.score != b.score ? a.score < b.score : a.left > b.left;
};

std::vector<Piece> characters_of(std::string_view text) {
  std::vector<Piece> pieces;
  pieces.reserve(text.size());
  for (size_t begin = 0; begin < text.size(); begin += pieces.back().size) {
    const size_t size = std::min(length_by_lead(text[begin]), text.size() - begin);
    const auto index = static_cast<int32_t>(pieces.size());
    pieces.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(size), index - 1, index + 1});
  }
  pieces.back().next = -1;
  return pieces;
}

}  // namespace

SpmEncoder::SpmEncoder(std::shared_ptr<const Vocabulary> vocabulary, std::vector<float> scores, bool adds_space,
                       std::optional<int32_t> unknown)
    : vocabulary_(std::move(vocabulary)),
      scores_(std::move(scores)),
      adds_space_(adds_space),
      byte_ids_(find_byte_tokens(*vocabulary_)) {
  for (float& score : scores_) {
    if (std::isnan(score)) score = -std::numeric_limits<float>::infinity();
  }
  for (const std::string_view text : vocabulary_->texts) max_token_bytes_ = std::max(max_token_bytes_, text.size());
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    const char text = static_cast<char>(byte);
    if (!byte_ids_[byte]) byte_ids_[byte] = vocabulary_->find({&text, 1});
    if (!byte_ids_[byte]) byte_ids_[byte] = unknown;
  }
}

Result<void> SpmEncoder::encode(std::string_view fragment, bool begins, std::vector<int32_t>& ids) const {
  const std::string text =
      (adds_space_ && begins ? std::string(kEscapedSpace) : std::string()) + escape_spaces(fragment);
  std::vector<Piece> pieces = characters_of(text);
  std::vector<Pair> heap;
  const auto at = [&](int32_t index) -> Piece& { return pieces[static_cast<size_t>(index)]; };
  const auto push_pair = [&](int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    const uint32_t size = at(left).size + at(right).size;
    if (size > max_token_bytes_) return;
    const auto token = vocabulary_->find(std::string_view(text).substr(at(left).begin, size));
    if (!token) return;
    heap.push_back({scores_[static_cast<size_t>(*token)], left, right, size});
    std::push_heap(heap.begin(), heap.end(), kJoinsLater);
  };
  for (int32_t i = 0; i < static_cast<int32_t>(pieces.size()); ++i) push_pair(i, at(i).next);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), kJoinsLater);
    const Pair pair = heap.back();
    heap.pop_back();
    Piece& left = at(pair.left);
    Piece& right = at(pair.right);
    if (left.size == 0 || right.size == 0 || left.size + right.size != pair.size) continue;
    left.size += right.size;
    right.size = 0;
    left.next = right.next;
    if (right.next >= 0) at(right.next).previous = pair.left;
    push_pair(left.previous, pair.left);
    push_pair(pair.left, left.next);
  }
  for (int32_t i = 0; i >= 0; i = at(i).next) {
    const std::string_view piece = std::string_view(text).substr(at(i).begin, at(i).size);
    if (const auto token = vocabulary_->find(piece)) {
      ids.push_back(*token);
      continue;
    }
    for (const char byte : piece) {
      if (const auto id = byte_ids_[static_cast<uint8_t>(byte)]) ids.push_back(*id);
    }
  }
  return {};
}

}  // namespace orrery

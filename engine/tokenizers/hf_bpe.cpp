#include "engine/tokenizers/hf_bpe.h"

#include <algorithm>
#include <utility>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/hf_unicode.h"

namespace orrery {
namespace {

uint64_t pair_key(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace

Result<std::unique_ptr<const HfModel>> HfBpe::read(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(HfIds ids, read_hf_vocabulary(object));
  std::unique_ptr<HfBpe> model(new HfBpe(std::move(ids)));
  ORRERY_RETURN_IF_ERROR(model->read_options(object));
  ORRERY_RETURN_IF_ERROR(model->read_merges(object));
  for (const auto& [spelling, id] : model->ids()) {
    if (spelling.empty() || spelling.size() > 4 || count_characters(spelling) != 1) continue;
    size_t at = 0;
    model->characters_.emplace(next_character(spelling, at), id);
  }
  return std::unique_ptr<const HfModel>(std::move(model));
}

Result<void> HfBpe::read_options(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(prefix_, object.short_text("continuing_subword_prefix", ""));
  ORRERY_ASSIGN_OR_RETURN(suffix_, object.short_text("end_of_word_suffix", ""));
  ORRERY_ASSIGN_OR_RETURN(fuse_unknown_, object.flag("fuse_unk", false));
  ORRERY_ASSIGN_OR_RETURN(prefers_whole_pieces_, object.flag("ignore_merges", false));
  ORRERY_ASSIGN_OR_RETURN(const bool byte_fallback, object.flag("byte_fallback", false));
  ORRERY_ASSIGN_OR_RETURN(const std::string unknown, object.text("unk_token", ""));
  if (object.find("unk_token") != nullptr) unknown_ = find(unknown);  // byte-level files may name one that is not there
  if (!byte_fallback) return {};
  byte_ids_.emplace();
  for (size_t byte = 0; byte < byte_ids_->size(); ++byte) {
    (*byte_ids_)[byte] = find(hf_byte_token(static_cast<uint8_t>(byte))).value_or(-1);
  }
  return {};
}

// Merges are pairs, or in older files texts "left right".
Result<void> HfBpe::read_merges(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const nlohmann::json* list, object.list("merges"));
  merges_.reserve(list->size());
  size_t rank = 0;
  for (const nlohmann::json& item : *list) {
    if (item.is_string()) {
      const std::string_view text = item.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (text.starts_with("#version")) continue;
      if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
        return object.invalid("has a merge without two parts, number " + std::to_string(rank) + ": " + shown(item));
      }
      ORRERY_RETURN_IF_ERROR(add_merge(object, rank++, text.substr(0, space), text.substr(space + 1)));
    } else if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      ORRERY_RETURN_IF_ERROR(
          add_merge(object, rank++, item[0].get_ref<const std::string&>(), item[1].get_ref<const std::string&>()));
    } else {
      return object.invalid("has a merge that is no pair, number " + std::to_string(rank) + ": " + shown(item));
    }
  }
  return {};
}

Result<void> HfBpe::add_merge(const HfObject& object, size_t rank, std::string_view left, std::string_view right) {
  if (right.size() < prefix_.size()) {
    return object.invalid("has a merge of a part shorter than the prefix of parts, number " + std::to_string(rank));
  }
  std::string joined(left);
  joined += right.substr(prefix_.size());
  const std::array<std::string, 3> spellings = {std::string(left), std::string(right), std::move(joined)};
  std::array<int32_t, 3> ids{};
  for (size_t i = 0; i < spellings.size(); ++i) {
    const auto id = find(spellings[i]);
    if (!id) {
      return object.invalid("has a merge of or into what is no token, number " + std::to_string(rank) + ": " +
                            in_quotes(spellings[i]));
    }
    ids[i] = *id;
  }
  // The last of two merges of one pair counts.
  merges_[pair_key(ids[0], ids[1])] = Merge{static_cast<int32_t>(rank), ids[2]};
  return {};
}

const HfBpe::Merge* HfBpe::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

std::optional<int32_t> HfBpe::find_character(std::string_view bytes, bool is_first, bool is_last) const {
  const bool takes_prefix = !is_first && !prefix_.empty();
  const bool takes_suffix = is_last && !suffix_.empty();
  if (takes_prefix || takes_suffix) {
    return find((takes_prefix ? prefix_ : "") + std::string(bytes) + (takes_suffix ? suffix_ : ""));
  }
  size_t at = 0;
  const auto found = characters_.find(next_character(bytes, at));
  return found == characters_.end() ? std::nullopt : std::optional<int32_t>(found->second);
}

// Spells a character by byte tokens, prefix and suffix too; false where one of them is missing.
bool HfBpe::append_bytes(std::string_view bytes, bool is_first, bool is_last, std::vector<Symbol>& symbols) const {
  const size_t n_before = symbols.size();
  for (const std::string_view part :
       {is_first ? std::string_view() : prefix_, bytes, is_last ? std::string_view(suffix_) : std::string_view()}) {
    for (const char c : part) {
      const int32_t id = (*byte_ids_)[static_cast<uint8_t>(c)];
      if (id < 0) {
        symbols.resize(n_before);
        return false;
      }
      symbols.push_back({id, 0, 0});
    }
  }
  return true;
}

// An unknown token waits until a known character or the end comes, so that it may grow; byte tokens do not end the
// wait, as in the reference.
std::vector<HfBpe::Symbol> HfBpe::symbols_of(std::string_view piece) const {
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  bool unknown_waits = false;
  size_t at = 0;
  for_each_character(piece, [&](char32_t, std::string_view bytes) {
    const bool is_first = at == 0;
    at += bytes.size();
    const bool is_last = at == piece.size();
    if (const auto id = find_character(bytes, is_first, is_last)) {
      if (unknown_waits) symbols.push_back({*unknown_, 0, 0});
      unknown_waits = false;
      symbols.push_back({*id, 0, 0});
      return;
    }
    if (byte_ids_ && append_bytes(bytes, is_first, is_last, symbols)) return;
    if (!unknown_) return;  // left out
    if (unknown_waits && !fuse_unknown_) symbols.push_back({*unknown_, 0, 0});
    unknown_waits = true;
  });
  if (unknown_waits) symbols.push_back({*unknown_, 0, 0});
  const auto n = static_cast<int32_t>(symbols.size());
  for (int32_t i = 0; i < n; ++i) {
    symbols[static_cast<size_t>(i)].previous = i - 1;
    symbols[static_cast<size_t>(i)].next = i + 1 < n ? i + 1 : -1;
  }
  return symbols;
}

void HfBpe::merge_all(std::vector<Symbol>& symbols) const {
  // Its top is the earliest merge, the leftmost of equals.
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
  };
  const auto at = [&](int32_t index) -> Symbol& { return symbols[static_cast<size_t>(index)]; };
  std::vector<Candidate> heap;
  const auto consider = [&](int32_t left) {
    if (left < 0 || at(left).next < 0) return false;
    const Merge* merge = find_merge(at(left).id, at(at(left).next).id);
    if (merge != nullptr) heap.push_back({merge->rank, left, merge->result});
    return merge != nullptr;
  };
  for (int32_t i = 0; i < static_cast<int32_t>(symbols.size()); ++i) consider(i);
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate top = heap.back();
    heap.pop_back();
    Symbol& left = at(top.left);
    if (left.is_gone || left.next < 0) continue;
    // A candidate counts as long as what stands there now merges into the same token, as in the reference.
    const Merge* merge = find_merge(left.id, at(left.next).id);
    if (merge == nullptr || merge->result != top.result) continue;
    Symbol& right = at(left.next);
    left.id = top.result;
    left.next = right.next;
    right.is_gone = true;
    if (left.next >= 0) at(left.next).previous = top.left;
    if (consider(left.previous)) std::push_heap(heap.begin(), heap.end(), later);
    if (consider(top.left)) std::push_heap(heap.begin(), heap.end(), later);
  }
}

Result<void> HfBpe::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (prefers_whole_pieces_) {
    if (const auto whole = find(std::string(piece))) {
      ids.push_back(*whole);
      return {};
    }
  }
  std::vector<Symbol> symbols = symbols_of(piece);
  merge_all(symbols);
  for (const Symbol& symbol : symbols) {
    if (!symbol.is_gone) ids.push_back(symbol.id);
  }
  return {};
}

}  // namespace orrery

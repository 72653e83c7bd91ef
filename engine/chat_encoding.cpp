#include "engine/chat_encoding.h"

#include <algorithm>
#include <optional>

namespace orrery {
namespace {

constexpr size_t kLongestMarker = 48;  // bytes of a control token's spelling in a template

// A control token that the template wrote, or a run of text between two of them.
struct Atom {
  size_t begin = 0;  // in the whole text
  std::optional<int32_t> control;
  std::string text;
};

// The control token that is spelled at the start of `text`: <…> or […].
std::optional<std::pair<int32_t, size_t>> control_at(const Tokenizer& tokenizer, std::string_view text) {
  const char closing = text.front() == '<' ? '>' : text.front() == '[' ? ']' : '\0';
  if (closing == '\0') return std::nullopt;
  const size_t end = text.substr(0, kLongestMarker).find(closing);
  if (end == std::string_view::npos) return std::nullopt;
  const std::optional<int32_t> id = tokenizer.find(text.substr(0, end + 1));
  if (!id) return std::nullopt;
  const TokenType type = tokenizer.token_type(*id);
  if (type != TokenType::kControl && type != TokenType::kUserDefined) return std::nullopt;
  return std::pair{*id, end + 1};
}

std::vector<Atom> atoms_of(const Tokenizer& tokenizer, const std::vector<ChatPiece>& pieces) {
  std::vector<Atom> atoms;
  size_t offset = 0;
  const auto append_text = [&](std::string_view text) {
    if (text.empty()) return;
    if (atoms.empty() || atoms.back().control) atoms.push_back({offset, std::nullopt, {}});
    atoms.back().text += text;
    offset += text.size();
  };
  for (const ChatPiece& piece : pieces) {
    std::string_view rest = piece.text;
    size_t plain = 0;  // bytes before the next control token
    while (!piece.is_content && plain < rest.size()) {
      const auto control = control_at(tokenizer, rest.substr(plain));
      if (!control) {
        ++plain;
        continue;
      }
      append_text(rest.substr(0, plain));
      atoms.push_back({offset, control->first, {}});
      offset += control->second;
      rest.remove_prefix(plain + control->second);
      plain = 0;
    }
    append_text(rest);
  }
  return atoms;
}

// Whether the text spells tokens that would be parsed.
Result<bool> spells_control(const Tokenizer& tokenizer, std::string_view text) {
  if (text.find_first_of("<[") == std::string_view::npos) return false;
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int32_t> parsed,
                          tokenizer.encode(text, {.add_special = false, .parse_special = true}));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int32_t> plain, tokenizer.encode(text, EncodeOptions::plain()));
  return parsed != plain;
}

// The ids of the whole: encoded as one text, as tokenizers see it; where contents spell control tokens, piece by piece.
Result<std::vector<int32_t>> encode_whole(const Tokenizer& tokenizer, const std::vector<ChatPiece>& pieces,
                                          const std::vector<Atom>& atoms) {
  std::string whole;
  bool in_parts = false;
  for (const ChatPiece& piece : pieces) {
    whole += piece.text;
    if (!piece.is_content || in_parts) continue;
    ORRERY_ASSIGN_OR_RETURN(in_parts, spells_control(tokenizer, piece.text));
  }
  if (!in_parts) return tokenizer.encode(whole, {.add_special = false, .parse_special = true});
  std::vector<int32_t> ids;
  for (const Atom& atom : atoms) {
    if (atom.control) {
      ids.push_back(*atom.control);
      continue;
    }
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int32_t> more, tokenizer.encode(atom.text, EncodeOptions::plain()));
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

// Follows ids through the text. Control tokens say exactly where they are; in between, the bytes of tokens are counted,
// which may be off by a space that a tokenizer puts in.
class Position {
 public:
  explicit Position(const std::vector<Atom>& atoms) : atoms_(atoms) { find_next(); }

  // Where the id begins; moves past it.
  size_t pass(int32_t id, size_t n_bytes) {
    const size_t end = next_ < atoms_.size() ? atoms_[next_].begin : std::string::npos;
    if (next_ < atoms_.size() && *atoms_[next_].control == id) {
      at_ = end + n_bytes;
      ++next_;
      find_next();
      return end;
    }
    const size_t begin = end == std::string::npos || end == 0 ? at_ : std::min(at_, end - 1);
    at_ += n_bytes;
    return begin;
  }

 private:
  void find_next() {
    while (next_ < atoms_.size() && !atoms_[next_].control) ++next_;
  }
  const std::vector<Atom>& atoms_;
  size_t next_ = 0;  // the control token that is still to come
  size_t at_ = 0;
};

}  // namespace

Result<std::vector<ChatSegment>> encode_chat(const Tokenizer& tokenizer, const std::vector<ChatPiece>& pieces) {
  const std::vector<Atom> atoms = atoms_of(tokenizer, pieces);
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, encode_whole(tokenizer, pieces, atoms));
  std::vector<ChatSegment> segments;
  Position position(atoms);
  size_t piece = 0;
  size_t piece_end = pieces.empty() ? 0 : pieces[0].text.size();
  for (const int32_t id : ids) {
    const size_t begin = position.pass(id, tokenizer.token_bytes(id).size());
    while (piece + 1 < pieces.size() && begin >= piece_end) piece_end += pieces[++piece].text.size();
    const ChatRole role = pieces[piece].role;
    if (segments.empty() || segments.back().role != role) segments.push_back({role, {}});
    segments.back().ids.push_back(id);
  }
  return segments;
}

}  // namespace orrery

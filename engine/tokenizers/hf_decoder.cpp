#include "engine/tokenizers/hf_decoder.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/byte_alphabet.h"
#include "engine/tokenizers/hf_clean_up.h"
#include "engine/tokenizers/hf_metaspace.h"
#include "engine/tokenizers/hf_regex.h"
#include "engine/tokenizers/hf_unicode.h"
#include "engine/tokenizers/utf8.h"

namespace orrery {
namespace {

// The byte that "<0x0A>" stands for, as the reference reads it: "+A" is ten too.
std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  std::string_view digits = token.substr(3, 2);
  if (digits.front() == '+') digits.remove_prefix(1);
  int value = 0;
  for (const char c : digits) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<char>(value);
}

std::string join(const std::vector<std::string>& tokens) {
  size_t n = 0;
  for (const std::string& token : tokens) n += token.size();
  std::string all;
  all.reserve(n);
  for (const std::string& token : tokens) all += token;
  return all;
}

// A step that treats every token alike, wherever it stands.
class TokenByToken : public HfDecoder {
 public:
  void decode(std::vector<std::string>& tokens) const final {
    for (std::string& token : tokens) rewrite(token);
  }
  void decode_inner(std::string& token, bool&) const final { rewrite(token); }

 protected:
  virtual void rewrite(std::string& token) const = 0;
};

class Replace final : public TokenByToken {
 public:
  Replace(std::unique_ptr<const HfRegex> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

 protected:
  void rewrite(std::string& token) const override {
    HfSearchBudget budget(token.size());
    std::string text;
    const Result<void> searched = pattern_->search(token, budget, [&](const HfMatch& stretch) {
      text += stretch.is_match ? std::string_view(content_)
                               : std::string_view(token).substr(stretch.begin, stretch.end - stretch.begin);
    });
    if (searched) token = std::move(text);  // a pattern that takes too long leaves the token as it is
  }

 private:
  std::unique_ptr<const HfRegex> pattern_;
  std::string content_;
};

class Strip final : public HfDecoder {
 public:
  Strip(std::string content, size_t start, size_t stop) : content_(std::move(content)), start_(start), stop_(stop) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) strip(token);
  }
  void decode_inner(std::string& token, bool& is_joined) const override {
    if (!is_joined) strip(token);
  }

 private:
  void strip(std::string& token) const {
    std::string_view rest = token;
    for (size_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
    for (size_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
    token = std::string(rest);
  }

  std::string content_;  // one character
  size_t start_, stop_;
};

class Fuse final : public HfDecoder {
 public:
  void decode(std::vector<std::string>& tokens) const override {
    const std::string all = join(tokens);
    tokens.assign(1, all);
  }
  void decode_inner(std::string&, bool& is_joined) const override { is_joined = true; }
};

// Neighbouring byte tokens are UTF-8 together, or each of them U+FFFD.
class ByteFallback final : public HfDecoder {
 public:
  void decode(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    out.reserve(tokens.size());
    std::string bytes;
    const auto flush = [&] {
      if (is_valid_utf8(bytes)) {
        if (!bytes.empty()) out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), std::string(kReplacementCharacter));
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = byte_of(token)) {
        bytes += *byte;
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }
  void decode_inner(std::string& token, bool&) const override {
    if (const auto byte = byte_of(token)) token.assign(1, *byte);
  }
};

class ByteLevel final : public HfDecoder {
 public:
  void decode(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += bytes_of_spelling(token);
    tokens.assign(1, to_valid_utf8(bytes));
  }
  void decode_inner(std::string& token, bool& is_joined) const override {
    token = bytes_of_spelling(token);
    is_joined = true;
  }
};

class Metaspace final : public HfDecoder {
 public:
  explicit Metaspace(HfMetaspace metaspace) : metaspace_(std::move(metaspace)) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      replace(tokens[i], i == 0 && metaspace_.prepend != HfMetaspace::Prepend::kNever ? "" : " ");
    }
  }
  void decode_inner(std::string& token, bool&) const override { replace(token, " "); }

 private:
  void replace(std::string& token, std::string_view by) const {
    token = hf_replace_all(std::move(token), metaspace_.mark, by);
  }
  HfMetaspace metaspace_;
};

class WordPiece final : public HfDecoder {
 public:
  WordPiece(std::string prefix, bool clean_up) : prefix_(std::move(prefix)), clean_up_(clean_up) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) rewrite(tokens[i], i == 0);
  }
  void decode_inner(std::string& token, bool&) const override { rewrite(token, false); }

 private:
  void rewrite(std::string& token, bool is_first) const {
    if (!is_first && token.starts_with(prefix_)) {
      token.erase(0, prefix_.size());
    } else if (!is_first) {
      token.insert(0, " ");
    }
    if (clean_up_) token = hf_clean_up(std::move(token), HfCleanUp::kWordPiece);
  }
  std::string prefix_;
  bool clean_up_;
};

class BpeDecoder final : public HfDecoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = hf_replace_all(std::move(tokens[i]), suffix_, i + 1 == tokens.size() ? "" : " ");
    }
  }
  void decode_inner(std::string& token, bool&) const override {
    token = hf_replace_all(std::move(token), suffix_, " ");
  }

 private:
  std::string suffix_;
};

class Spaces final : public HfDecoder {
 public:
  void decode(std::vector<std::string>& tokens) const override {
    for (size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(0, " ");
  }
  void decode_inner(std::string& token, bool&) const override { token.insert(0, " "); }
};

class Sequence final : public HfDecoder {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const HfDecoder>> steps) : steps_(std::move(steps)) {}
  void decode(std::vector<std::string>& tokens) const override {
    for (const auto& step : steps_) step->decode(tokens);
  }
  void decode_inner(std::string& token, bool& is_joined) const override {
    for (const auto& step : steps_) step->decode_inner(token, is_joined);
  }

 private:
  std::vector<std::unique_ptr<const HfDecoder>> steps_;
};

using Made = Result<std::unique_ptr<const HfDecoder>>;

template <typename T, typename... Args>
Made make_step(Args&&... args) {
  return std::unique_ptr<const HfDecoder>(std::make_unique<T>(std::forward<Args>(args)...));
}

Made make_sequence(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const nlohmann::json* list, object.list("decoders"));
  std::vector<std::unique_ptr<const HfDecoder>> steps;
  for (const nlohmann::json& item : *list) {
    ORRERY_ASSIGN_OR_RETURN(const HfObject step, as_hf_object(item, object.where));
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<const HfDecoder> made, HfDecoder::make(step));
    steps.push_back(std::move(made));
  }
  return make_step<Sequence>(std::move(steps));
}

Made make_strip(const HfObject& object) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  ORRERY_ASSIGN_OR_RETURN(std::string content, object.short_text("content"));
  if (count_characters(content) != 1) return object.wrong("content", "one character");
  ORRERY_ASSIGN_OR_RETURN(const int64_t start, object.integer("start", 0, kMost));
  ORRERY_ASSIGN_OR_RETURN(const int64_t stop, object.integer("stop", 0, kMost));
  return make_step<Strip>(std::move(content), static_cast<size_t>(start), static_cast<size_t>(stop));
}

Made make_word_piece(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(std::string prefix, object.short_text("prefix", "##"));
  ORRERY_ASSIGN_OR_RETURN(const bool clean_up, object.flag("cleanup", true));
  return make_step<WordPiece>(std::move(prefix), clean_up);
}

Made make_replace(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(auto pattern, HfRegex::from_field(object));
  ORRERY_ASSIGN_OR_RETURN(std::string content, object.short_text("content"));
  return make_step<Replace>(std::move(pattern), std::move(content));
}

}  // namespace

std::unique_ptr<const HfDecoder> HfDecoder::spaces() { return std::make_unique<Spaces>(); }

Result<std::unique_ptr<const HfDecoder>> HfDecoder::make(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const std::string type, object.text("type"));
  const HfObject named{object.json, object.where + " " + printable(type)};
  if (type == "Sequence") return make_sequence(object);
  if (type == "Replace") return make_replace(named);
  if (type == "Strip") return make_strip(named);
  if (type == "Fuse") return make_step<Fuse>();
  if (type == "ByteFallback") return make_step<ByteFallback>();
  if (type == "ByteLevel") return make_step<ByteLevel>();
  if (type == "WordPiece") return make_word_piece(named);
  if (type == "Metaspace") {
    ORRERY_ASSIGN_OR_RETURN(HfMetaspace metaspace, HfMetaspace::read(named));
    return make_step<Metaspace>(std::move(metaspace));
  }
  if (type == "BPEDecoder") {
    ORRERY_ASSIGN_OR_RETURN(std::string suffix, named.short_text("suffix", "</w>"));
    return make_step<BpeDecoder>(std::move(suffix));
  }
  return Error{ErrorCode::kUnsupported, object.where + " is of a kind that is not supported: " + in_quotes(type)};
}

}  // namespace orrery

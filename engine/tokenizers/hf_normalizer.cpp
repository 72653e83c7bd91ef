#include "engine/tokenizers/hf_normalizer.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/byte_alphabet.h"
#include "engine/tokenizers/code_points.h"
#include "engine/tokenizers/hf_charsmap.h"
#include "engine/tokenizers/hf_unicode.h"

namespace orrery {
namespace {

// Bytes of the text's first character; what stands for it stays at the text's start however it is spelled.
size_t first_character_bytes(std::string_view text) {
  size_t at = 0;
  if (!text.empty()) next_character(text, at);
  return at;
}

Error too_long() {
  return {ErrorCode::kUnsupported, "the normalizer of the tokenizer makes this text too long to go on"};
}

// The text spelled in another way from its start to its end.
void respell(HfPiece& piece, std::string text) {
  piece.text = std::move(text);
  if (piece.is_at_start()) piece.n_origin_bytes = first_character_bytes(piece.text);
}

// Keeps the characters for which `keep`; a piece whose first character goes no longer begins where the text did.
template <typename F>
void filter(HfPiece& piece, F&& keep) {
  std::string kept;
  kept.reserve(piece.text.size());
  bool first = true;
  bool first_is_kept = true;
  for_each_character(piece.text, [&](char32_t c, std::string_view bytes) {
    if (keep(c)) kept += bytes;
    if (first) first_is_kept = keep(c);
    first = false;
  });
  piece.text = std::move(kept);
  piece.n_origin_bytes = piece.is_at_start() && first_is_kept ? first_character_bytes(piece.text) : 0;
}

// Rewrites each character; `append` is given the text so far and the character.
template <typename F>
void map_characters(HfPiece& piece, F&& append) {
  std::string text;
  text.reserve(piece.text.size());
  for_each_character(piece.text, [&](char32_t c, std::string_view) { append(text, c); });
  respell(piece, std::move(text));
}

class UnicodeForm final : public HfNormalizer {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  Result<void> normalize(HfPiece& piece, HfSearchBudget&) const override {
    ORRERY_ASSIGN_OR_RETURN(std::string text, to_normal_form(piece.text, form_));
    respell(piece, std::move(text));
    return {};
  }

 private:
  NormalForm form_;
};

class Lowercase final : public HfNormalizer {
 public:
  Result<void> normalize(HfPiece& piece, HfSearchBudget&) const override {
    map_characters(piece, append_lower_case);
    return {};
  }
};

class StripAccents final : public HfNormalizer {
 public:
  Result<void> normalize(HfPiece& piece, HfSearchBudget&) const override {
    filter(piece, [](char32_t c) { return !is_mark(c); });
    return {};
  }
};

class ByteLevelNormalizer final : public HfNormalizer {
 public:
  Result<void> normalize(HfPiece& piece, HfSearchBudget&) const override {
    respell(piece, spell_bytes(piece.text));
    return {};
  }
};

class Strip final : public HfNormalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  Result<void> normalize(HfPiece& piece, HfSearchBudget&) const override {
    size_t begin = piece.text.size(), end = 0;  // around the first and the last character that is no white space
    size_t at = 0;
    for_each_character(piece.text, [&](char32_t c, std::string_view bytes) {
      if (!is_white_space(c)) {
        begin = std::min(begin, at);
        end = at + bytes.size();
      }
      at += bytes.size();
    });
    if (!left_) begin = 0;
    if (!right_) end = piece.text.size();
    piece = begin < end ? piece.part(begin, end) : HfPiece();
    if (begin > 0) piece.n_origin_bytes = 0;
    return {};
  }

 private:
  bool left_, right_;
};

class Prepend final : public HfNormalizer {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  Result<void> normalize(HfPiece& piece, HfSearchBudget&) const override {
    if (!piece.text.empty()) piece.prepend(text_);
    return {};
  }

 private:
  std::string text_;
};

class Replace final : public HfNormalizer {
 public:
  Replace(std::unique_ptr<const HfRegex> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  // What replaces a match belongs to the last character that it takes the place of.
  Result<void> normalize(HfPiece& piece, HfSearchBudget& budget) const override {
    const size_t limit = longest(piece.text.size());
    std::string text;
    size_t n_origin = 0;
    ORRERY_RETURN_IF_ERROR(pattern_->search(piece.text, budget, [&](const HfMatch& stretch) {
      if (text.size() > limit) return;
      const std::string_view old = std::string_view(piece.text).substr(stretch.begin, stretch.end - stretch.begin);
      text += stretch.is_match ? std::string_view(content_) : old;
      if (stretch.end <= piece.n_origin_bytes) {
        n_origin = text.size();
      } else if (stretch.begin < piece.n_origin_bytes && !stretch.is_match) {
        n_origin = text.size() - (stretch.end - piece.n_origin_bytes);
      }
    }));
    if (text.size() > limit) return too_long();
    piece = {std::move(text), n_origin};
    return {};
  }

 private:
  std::unique_ptr<const HfRegex> pattern_;
  std::string content_;
};

// SentencePiece's cleaning of the NMT data: control characters go, odd blanks become spaces.
class Nmt final : public HfNormalizer {
 public:
  Result<void> normalize(HfPiece& piece, HfSearchBudget&) const override {
    filter(piece, [](char32_t c) {
      return !((c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || c == 0x8f ||
               c == 0x9f);
    });
    map_characters(piece, [](std::string& text, char32_t c) {
      const bool is_blank = c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 ||
                            (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff ||
                            c == 0xfffd;
      append_utf8(is_blank ? U' ' : c, text);
    });
    return {};
  }
};

bool is_chinese(char32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
         (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

class BertNormalizer final : public HfNormalizer {
 public:
  struct Options {
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
  };
  explicit BertNormalizer(Options options) : options_(options) {}

  Result<void> normalize(HfPiece& piece, HfSearchBudget&) const override {
    if (options_.clean_text) clean(piece);
    if (options_.handle_chinese_chars) {
      map_characters(piece, [](std::string& text, char32_t c) {
        if (is_chinese(c)) text += ' ';
        append_utf8(c, text);
        if (is_chinese(c)) text += ' ';
      });
    }
    if (options_.strip_accents) {
      ORRERY_ASSIGN_OR_RETURN(std::string text, to_normal_form(piece.text, NormalForm::kNfd));
      respell(piece, std::move(text));
      filter(piece, [](char32_t c) { return !is_nonspacing_mark(c); });
    }
    if (options_.lowercase) map_characters(piece, append_lower_case);
    return {};
  }

 private:
  static void clean(HfPiece& piece) {
    filter(piece, [](char32_t c) {
      const bool is_blank = c == '\t' || c == '\n' || c == '\r';
      return is_blank || (c != 0 && c != 0xfffd && !is_control_or_unused(c));
    });
    map_characters(piece, [](std::string& text, char32_t c) { append_utf8(is_white_space(c) ? U' ' : c, text); });
  }

  Options options_;
};

class Precompiled final : public HfNormalizer {
 public:
  explicit Precompiled(HfCharsmap map) : map_(std::move(map)) {}
  Result<void> normalize(HfPiece& piece, HfSearchBudget&) const override {
    const size_t limit = longest(piece.text.size());
    ORRERY_ASSIGN_OR_RETURN(std::string text, map_.apply(piece.text, limit));
    if (text.size() > limit) return too_long();
    respell(piece, std::move(text));
    return {};
  }

 private:
  HfCharsmap map_;
};

class Sequence final : public HfNormalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const HfNormalizer>> steps) : steps_(std::move(steps)) {}
  Result<void> normalize(HfPiece& piece, HfSearchBudget& budget) const override {
    const size_t limit = longest(piece.text.size());
    for (const auto& step : steps_) {
      ORRERY_RETURN_IF_ERROR(step->normalize(piece, budget));
      if (piece.text.size() > limit) return too_long();
    }
    return {};
  }

 private:
  std::vector<std::unique_ptr<const HfNormalizer>> steps_;
};

using Made = Result<std::unique_ptr<const HfNormalizer>>;

template <typename T, typename... Args>
Made make_step(Args&&... args) {
  return std::unique_ptr<const HfNormalizer>(std::make_unique<T>(std::forward<Args>(args)...));
}

Made make_sequence(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const nlohmann::json* list, object.list("normalizers"));
  std::vector<std::unique_ptr<const HfNormalizer>> steps;
  for (const nlohmann::json& item : *list) {
    ORRERY_ASSIGN_OR_RETURN(const HfObject step, as_hf_object(item, object.where));
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<const HfNormalizer> made, HfNormalizer::make(step));
    steps.push_back(std::move(made));
  }
  return make_step<Sequence>(std::move(steps));
}

Made make_replace(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(auto pattern, HfRegex::from_field(object));
  ORRERY_ASSIGN_OR_RETURN(std::string content, object.short_text("content"));
  return make_step<Replace>(std::move(pattern), std::move(content));
}

Made make_bert(const HfObject& object) {
  BertNormalizer::Options options{};
  ORRERY_ASSIGN_OR_RETURN(options.clean_text, object.flag("clean_text", true));
  ORRERY_ASSIGN_OR_RETURN(options.handle_chinese_chars, object.flag("handle_chinese_chars", true));
  ORRERY_ASSIGN_OR_RETURN(options.lowercase, object.flag("lowercase", true));
  ORRERY_ASSIGN_OR_RETURN(options.strip_accents, object.flag("strip_accents", options.lowercase));
  return make_step<BertNormalizer>(options);
}

Made make_strip(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const bool left, object.flag("strip_left"));
  ORRERY_ASSIGN_OR_RETURN(const bool right, object.flag("strip_right"));
  return make_step<Strip>(left, right);
}

}  // namespace

Result<std::unique_ptr<const HfNormalizer>> HfNormalizer::make(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const std::string type, object.text("type"));
  const HfObject named{object.json, object.where + " " + printable(type)};
  if (type == "Sequence") return make_sequence(object);
  if (type == "NFC") return make_step<UnicodeForm>(NormalForm::kNfc);
  if (type == "NFD") return make_step<UnicodeForm>(NormalForm::kNfd);
  if (type == "NFKC") return make_step<UnicodeForm>(NormalForm::kNfkc);
  if (type == "NFKD") return make_step<UnicodeForm>(NormalForm::kNfkd);
  if (type == "Lowercase") return make_step<Lowercase>();
  if (type == "StripAccents") return make_step<StripAccents>();
  if (type == "ByteLevel") return make_step<ByteLevelNormalizer>();
  if (type == "Nmt") return make_step<Nmt>();
  if (type == "Strip") return make_strip(named);
  if (type == "Replace") return make_replace(named);
  if (type == "BertNormalizer") return make_bert(named);
  if (type == "Prepend") {
    ORRERY_ASSIGN_OR_RETURN(std::string text, named.short_text("prepend"));
    return make_step<Prepend>(std::move(text));
  }
  if (type == "Precompiled") {
    ORRERY_ASSIGN_OR_RETURN(const std::string text, named.text("precompiled_charsmap"));
    Result<HfCharsmap> map = HfCharsmap::from_base64(text);
    if (!map) return named.invalid(map.error().message);
    return make_step<Precompiled>(std::move(map).value());
  }
  return Error{ErrorCode::kUnsupported, object.where + " is of a kind that is not supported: " + in_quotes(type)};
}

}  // namespace orrery

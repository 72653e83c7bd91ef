#define PCRE2_CODE_UNIT_WIDTH 32
#include "engine/tokenizers/pre_tokenizer.h"

#include <pcre2.h>

#include <algorithm>
#include <string>
#include <utility>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/code_points.h"
#include "engine/tokenizers/unicode_classes.h"

namespace orrery {
namespace {

// In patterns of kCategories one number stands for every code point of a category beyond ASCII.
enum Category : uint32_t {
  kOther = 0xd0,
  kNumbers,
  kLetters,
  kPunctuation,
  kMarks,
  kSymbols,
  kHanLetters,
  kHanOthers,
};
constexpr uint32_t kWhiteSpace = 0x0b;  // for all white space beyond ASCII

uint32_t category_of(uint32_t code_point, bool tells_han) {
  if (code_point < 0x80) return code_point;
  if (is_white_space(code_point)) return kWhiteSpace;
  const UnicodeClass kind = unicode_class(code_point);
  if (tells_han && is_han(code_point)) return kind == UnicodeClass::kLetter ? kHanLetters : kHanOthers;
  switch (kind) {
    case UnicodeClass::kNumber:
      return kNumbers;
    case UnicodeClass::kLetter:
      return kLetters;
    case UnicodeClass::kPunctuation:
      return kPunctuation;
    case UnicodeClass::kMark:
      return kMarks;
    case UnicodeClass::kSymbol:
      return kSymbols;
    default:
      return kOther;
  }
}

bool is_number(uint32_t category) { return category == kNumbers || (category >= '0' && category <= '9'); }
bool is_digit(uint32_t code_point) { return code_point >= '0' && code_point <= '9'; }

// What \p{...} stands for inside square brackets.
constexpr std::pair<std::string_view, std::string_view> kProperties[] = {
    {"\\p{N}", "0-9\\x{d1}"},       {"\\p{L}", "A-Za-z\\x{d2}"},
    {"\\p{L>}", "\\x{d2}"},         {"\\p{P}", "!-#%-*,-/:;?@\\[-\\]_{}\\x{d3}"},
    {"\\p{M}", "\\x{d4}"},          {"\\p{S}", "$+<->\\^`|\\x{d5}"},  // llama.cpp forgot ~
    {"\\p{Han}", "\\x{d6}\\x{d7}"},
};

// `pattern` with properties spelled out.
std::u32string expand(std::string_view pattern, SplitStage::Kind kind) {
  std::string expanded;
  bool in_brackets = false;
  for (size_t i = 0; i < pattern.size();) {
    const auto* const property = std::find_if(std::begin(kProperties), std::end(kProperties), [&](const auto& known) {
      return pattern.substr(i).starts_with(known.first);
    });
    if (kind == SplitStage::Kind::kCategories && property != std::end(kProperties)) {
      expanded += in_brackets ? std::string(property->second) : "[" + std::string(property->second) + "]";
      i += property->first.size();
      continue;
    }
    const bool escaped = pattern[i] == '\\';
    if (pattern[i] == '[') in_brackets = true;
    if (pattern[i] == ']') in_brackets = false;
    expanded += pattern.substr(i, escaped ? 2 : 1);
    i += escaped ? 2 : 1;
  }
  std::u32string result;
  for (size_t offset = 0; offset < expanded.size();) result += static_cast<char32_t>(next_code_point(expanded, offset));
  return result;
}

Error out_of_memory() { return {ErrorCode::kOutOfMemory, "not enough memory to tokenize"}; }

}  // namespace

// A text's code points as the stages want them, each made when first asked for, and where its pieces end.
class PreTokenizer::Text {
 public:
  Text(std::string_view bytes, bool tells_han) : points_(code_points(bytes)), tells_han_(tells_han) {
    if (!points_.empty()) ends_.push_back(points_.size());
  }

  // [n] as `kind` reads them.
  std::span<const uint32_t> units(SplitStage::Kind kind) {
    const bool wants_categories = kind == SplitStage::Kind::kCategories || kind == SplitStage::Kind::kThreesByNumbers;
    std::vector<uint32_t>& units = wants_categories ? categories_ : characters_;
    if (units.empty()) {
      units.resize(points_.size());
      std::transform(points_.begin(), points_.end(), units.begin(), [&](uint32_t point) {
        if (wants_categories) return category_of(point, tells_han_);
        return point > 0x7f && is_white_space(point) ? kWhiteSpace : point;
      });
    }
    return units;
  }

  std::vector<size_t>& ends() { return ends_; }

  void for_each_piece(const std::function<void(std::string_view)>& on_word) const {
    std::string word;
    size_t begin = 0;
    for (const size_t end : ends_) {
      word.clear();
      for (size_t i = begin; i < end; ++i) append_utf8(points_[i], word);
      on_word(word);
      begin = end;
    }
  }

 private:
  std::vector<uint32_t> points_, categories_, characters_;
  std::vector<size_t> ends_;  // of pieces, ascending, the last is the text's
  bool tells_han_;
};

// One step of cutting, its pattern compiled.
class PreTokenizer::Stage {
 public:
  explicit Stage(const SplitStage& stage) : kind_(stage.kind) {
    if (stage.pattern == nullptr) return;
    const std::u32string pattern = expand(stage.pattern, stage.kind);
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_DOLLAR_ENDONLY, &error,
                          &offset, nullptr);
    CHECK(code_ != nullptr, "a built-in pattern does not compile");
    pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);  // where it cannot, matching falls back to the interpreter
  }
  ~Stage() { pcre2_code_free(code_); }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  Result<void> cut(Text& text) const {
    const std::span<const uint32_t> units = text.units(kind_);
    std::vector<size_t> ends;
    ends.reserve(text.ends().size());
    Matcher matcher;
    size_t begin = 0;
    for (const size_t end : text.ends()) {
      const std::span<const uint32_t> piece = units.subspan(begin, end - begin);
      if (code_ == nullptr) {
        cut_threes(piece, begin, ends);
      } else {
        ORRERY_RETURN_IF_ERROR(cut_matches(matcher, piece, begin, ends));
      }
      add_end(end, ends);
      begin = end;
    }
    text.ends() = std::move(ends);
    return {};
  }

 private:
  struct Matcher {
    std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data{pcre2_match_data_create(1, nullptr),
                                                                             &pcre2_match_data_free};
    std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context{
        pcre2_match_context_create(nullptr), &pcre2_match_context_free};
  };

  static void add_end(size_t end, std::vector<size_t>& ends) {
    if (end > (ends.empty() ? 0 : ends.back())) ends.push_back(end);
  }

  Result<void> cut_matches(const Matcher& matcher, std::span<const uint32_t> piece, size_t begin,
                           std::vector<size_t>& ends) const {
    if (matcher.data == nullptr || matcher.context == nullptr) return out_of_memory();
    // However long a run is, the patterns backtrack over it a few times only.
    pcre2_set_match_limit(matcher.context.get(), UINT32_MAX);
    for (size_t done = 0; done < piece.size();) {
      const int n = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(piece.data()), piece.size(), done, 0,
                                matcher.data.get(), matcher.context.get());
      if (n == PCRE2_ERROR_NOMATCH) break;
      if (n < 0) {
        return Error{ErrorCode::kOutOfMemory, "the text cannot be cut into words, PCRE2 error " + std::to_string(n)};
      }
      const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(matcher.data.get());
      CHECK(bounds[0] >= done && bounds[1] > bounds[0], "a pattern matched nothing");
      add_end(begin + bounds[0], ends);
      add_end(begin + bounds[1], ends);
      done = bounds[1];
    }
    return {};
  }

  void cut_threes(std::span<const uint32_t> piece, size_t begin, std::vector<size_t>& ends) const {
    const auto counts = [&](uint32_t unit) {
      return kind_ == SplitStage::Kind::kThreesByDigits ? is_digit(unit) : is_number(unit);
    };
    for (size_t i = 0; i < piece.size();) {
      if (!counts(piece[i])) {
        ++i;
        continue;
      }
      size_t end = i;
      while (end < piece.size() && counts(piece[end])) ++end;
      cut_run(begin + i, begin + end, ends);
      i = end;
    }
  }

  // The digits in [first, last): after those that lead, groups of three.
  void cut_run(size_t first, size_t last, std::vector<size_t>& ends) const {
    const size_t n_lead = (last - first) % 3;
    if (n_lead > 0) add_end(first + n_lead, ends);
    for (size_t group = first + n_lead; group < last; group += 3) {
      add_end(kind_ == SplitStage::Kind::kThreesByDigits ? group : group + 3, ends);
    }
  }

  SplitStage::Kind kind_;
  pcre2_code* code_ = nullptr;
};

PreTokenizer::PreTokenizer(const PreTokenizerFamily& family) : family_(family) {
  for (const SplitStage& stage : family.stages) stages_.push_back(std::make_unique<const Stage>(stage));
}
PreTokenizer::~PreTokenizer() = default;

Result<std::unique_ptr<const PreTokenizer>> PreTokenizer::make(std::string_view name) {
  const PreTokenizerFamily* family = find_pre_tokenizer_family(name);
  if (family == nullptr) {
    return Error{ErrorCode::kUnsupported, "the pre-tokenizer is not supported: " + in_quotes(name)};
  }
  return std::unique_ptr<const PreTokenizer>(new PreTokenizer(*family));
}

Result<void> PreTokenizer::split(std::string_view bytes, const std::function<void(std::string_view)>& on_word) const {
  Text text(bytes, family_.tells_han);
  for (const auto& stage : stages_) ORRERY_RETURN_IF_ERROR(stage->cut(text));
  text.for_each_piece(on_word);
  return {};
}

}  // namespace orrery

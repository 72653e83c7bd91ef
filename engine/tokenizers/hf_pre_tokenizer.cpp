#include "engine/tokenizers/hf_pre_tokenizer.h"

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/byte_alphabet.h"
#include "engine/tokenizers/hf_metaspace.h"
#include "engine/tokenizers/hf_splitter.h"
#include "engine/tokenizers/hf_unicode.h"

namespace orrery {
namespace {

// How GPT-2 cuts text, which ByteLevel does unless told not to.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Each character for which `is_match` is a match of its own.
template <typename F>
Result<void> split_by_character(const HfPiece& piece, HfSplitBehavior behavior, const HfPieceSink& sink, F&& is_match) {
  HfSplitter splitter(piece, behavior, sink);
  size_t at = 0, done = 0;
  for_each_character(piece.text, [&](char32_t c, std::string_view bytes) {
    if (is_match(c)) {
      if (done < at) splitter.add({done, at, false});
      done = at + bytes.size();
      splitter.add({at, done, true});
    }
    at += bytes.size();
  });
  if (done < at) splitter.add({done, at, false});
  return splitter.finish();
}

using CharacterTest = bool (*)(char32_t);

// Digits, Punctuation, WhitespaceSplit.
class SplitByCharacter final : public HfPreTokenizer {
 public:
  SplitByCharacter(CharacterTest is_match, HfSplitBehavior behavior) : is_match_(is_match), behavior_(behavior) {}
  Result<void> split(HfPiece piece, HfSearchBudget&, const HfPieceSink& sink) const override {
    return split_by_character(piece, behavior_, sink, is_match_);
  }

 private:
  CharacterTest is_match_;
  HfSplitBehavior behavior_;
};

class CharDelimiterSplit final : public HfPreTokenizer {
 public:
  explicit CharDelimiterSplit(char32_t delimiter) : delimiter_(delimiter) {}
  Result<void> split(HfPiece piece, HfSearchBudget&, const HfPieceSink& sink) const override {
    return split_by_character(piece, HfSplitBehavior::kRemoved, sink, [&](char32_t c) { return c == delimiter_; });
  }

 private:
  char32_t delimiter_;
};

class BertPreTokenizer final : public HfPreTokenizer {
 public:
  Result<void> split(HfPiece piece, HfSearchBudget&, const HfPieceSink& sink) const override {
    const auto split_punctuation = [&](const HfPiece& word) {
      return split_by_character(word, HfSplitBehavior::kIsolated, sink, is_punctuation);
    };
    return split_by_character(piece, HfSplitBehavior::kRemoved, split_punctuation, is_white_space);
  }
};

// Runs of word characters, runs of what is neither that nor white space.
class Whitespace final : public HfPreTokenizer {
 public:
  Result<void> split(HfPiece piece, HfSearchBudget&, const HfPieceSink& sink) const override {
    enum class Kind : uint8_t { kBlank, kWord, kOther };
    Kind kind = Kind::kBlank;
    size_t at = 0, begin = 0;
    Result<void> result;
    const auto flush = [&] {
      if (result && begin < at && kind != Kind::kBlank) result = sink(piece.part(begin, at));
      begin = at;
    };
    for_each_character(piece.text, [&](char32_t c, std::string_view bytes) {
      const Kind next = is_word_character(c) ? Kind::kWord : is_white_space(c) ? Kind::kBlank : Kind::kOther;
      if (next != kind) flush();
      kind = next;
      at += bytes.size();
    });
    flush();
    return result;
  }
};

class Split final : public HfPreTokenizer {
 public:
  Split(std::unique_ptr<const HfRegex> pattern, HfSplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  Result<void> split(HfPiece piece, HfSearchBudget& budget, const HfPieceSink& sink) const override {
    HfSplitter splitter(piece, behavior_, sink);
    ORRERY_RETURN_IF_ERROR(pattern_->search(piece.text, budget, [&](const HfMatch& stretch) {
      splitter.add({stretch.begin, stretch.end, stretch.is_match != invert_});
    }));
    return splitter.finish();
  }

 private:
  std::unique_ptr<const HfRegex> pattern_;
  HfSplitBehavior behavior_;
  bool invert_;
};

class ByteLevel final : public HfPreTokenizer {
 public:
  ByteLevel(std::unique_ptr<const HfRegex> pattern, bool add_prefix_space)
      : pattern_(std::move(pattern)), add_prefix_space_(add_prefix_space) {}
  Result<void> split(HfPiece piece, HfSearchBudget& budget, const HfPieceSink& sink) const override {
    if (add_prefix_space_ && !piece.text.starts_with(' ')) piece.prepend(" ");
    Result<void> result;
    const auto spell = [&](HfPiece part) {
      const bool at_start = part.is_at_start();
      part.text = spell_bytes(part.text);
      part.n_origin_bytes = at_start ? 1 : 0;
      return sink(std::move(part));
    };
    if (pattern_ == nullptr) return spell(std::move(piece));
    ORRERY_RETURN_IF_ERROR(pattern_->search(piece.text, budget, [&](const HfMatch& stretch) {
      if (result && stretch.begin < stretch.end) result = spell(piece.part(stretch.begin, stretch.end));
    }));
    return result;
  }

 private:
  std::unique_ptr<const HfRegex> pattern_;  // null: the text is not cut
  bool add_prefix_space_;
};

class MetaspaceSplit final : public HfPreTokenizer {
 public:
  explicit MetaspaceSplit(HfMetaspace metaspace) : metaspace_(std::move(metaspace)) {}
  Result<void> split(HfPiece piece, HfSearchBudget&, const HfPieceSink& sink) const override {
    metaspace_.replace_spaces(piece);
    if (!metaspace_.split) return sink(std::move(piece));
    const char32_t mark = metaspace_.mark_character();
    return split_by_character(piece, HfSplitBehavior::kMergedWithNext, sink, [&](char32_t c) { return c == mark; });
  }

 private:
  HfMetaspace metaspace_;
};

// SentencePiece cuts where the script changes; Hiragana and Katakana count as Han, what has no script as either.
class UnicodeScripts final : public HfPreTokenizer {
 public:
  Result<void> split(HfPiece piece, HfSearchBudget&, const HfPieceSink& sink) const override {
    std::optional<int> last;
    std::optional<size_t> begin;  // what stands before the first script is lost, as in the reference
    size_t at = 0;
    Result<void> result;
    for_each_character(piece.text, [&](char32_t c, std::string_view bytes) {
      const int script = fixed_script(c);
      if (script >= 0 && last != script) {
        if (result && begin) result = sink(piece.part(*begin, at));
        begin = at;
        last = script;
      }
      at += bytes.size();
    });
    if (result && begin) result = sink(piece.part(*begin, at));
    return result;
  }

 private:
  static int fixed_script(char32_t c) {
    static const int kHan = script_of(U'漢'), kHiragana = script_of(U'あ'), kKatakana = script_of(U'ア');
    if (c == 0x30fc) return kHan;
    if (c == U' ') return -1;
    const int script = script_of(c);
    return script == kHiragana || script == kKatakana ? kHan : script;
  }
};

class FixedLength final : public HfPreTokenizer {
 public:
  explicit FixedLength(size_t n_characters) : n_characters_(n_characters) {}
  Result<void> split(HfPiece piece, HfSearchBudget&, const HfPieceSink& sink) const override {
    size_t begin = 0, at = 0, n = 0;
    Result<void> result;
    for_each_character(piece.text, [&](char32_t, std::string_view bytes) {
      if (n == n_characters_) {
        if (result) result = sink(piece.part(begin, at));
        begin = at;
        n = 0;
      }
      ++n;
      at += bytes.size();
    });
    if (result) result = sink(piece.part(begin, at));
    return result;
  }

 private:
  size_t n_characters_;
};

class Sequence final : public HfPreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const HfPreTokenizer>> steps) : steps_(std::move(steps)) {}
  Result<void> split(HfPiece piece, HfSearchBudget& budget, const HfPieceSink& sink) const override {
    return split_from(0, std::move(piece), budget, sink);
  }

 private:
  Result<void> split_from(size_t step, HfPiece piece, HfSearchBudget& budget, const HfPieceSink& sink) const {
    if (step == steps_.size()) return sink(std::move(piece));
    return steps_[step]->split(std::move(piece), budget,
                               [&](HfPiece part) { return split_from(step + 1, std::move(part), budget, sink); });
  }

  std::vector<std::unique_ptr<const HfPreTokenizer>> steps_;
};

using Made = Result<std::unique_ptr<const HfPreTokenizer>>;

template <typename T, typename... Args>
Made make_step(Args&&... args) {
  return std::unique_ptr<const HfPreTokenizer>(std::make_unique<T>(std::forward<Args>(args)...));
}

Made make_sequence(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const nlohmann::json* list, object.list("pretokenizers"));
  std::vector<std::unique_ptr<const HfPreTokenizer>> steps;
  for (const nlohmann::json& item : *list) {
    ORRERY_ASSIGN_OR_RETURN(const HfObject step, as_hf_object(item, object.where));
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<const HfPreTokenizer> made, HfPreTokenizer::make(step));
    steps.push_back(std::move(made));
  }
  return make_step<Sequence>(std::move(steps));
}

Made make_split(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(auto pattern, HfRegex::from_field(object));
  ORRERY_ASSIGN_OR_RETURN(const HfSplitBehavior behavior, hf_split_behavior(object));
  ORRERY_ASSIGN_OR_RETURN(const bool invert, object.flag("invert", false));
  return make_step<Split>(std::move(pattern), behavior, invert);
}

Made make_byte_level(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const bool add_prefix_space, object.flag("add_prefix_space"));
  ORRERY_ASSIGN_OR_RETURN(const bool use_regex, object.flag("use_regex", true));
  std::unique_ptr<const HfRegex> pattern;
  if (use_regex) {
    ORRERY_ASSIGN_OR_RETURN(pattern, HfRegex::compile(kGpt2Pattern));
  }
  return make_step<ByteLevel>(std::move(pattern), add_prefix_space);
}

Made make_delimiter(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const std::string text, object.text("delimiter"));
  if (count_characters(text) != 1) return object.wrong("delimiter", "one character");
  size_t at = 0;
  return make_step<CharDelimiterSplit>(next_character(text, at));
}

}  // namespace

Result<std::unique_ptr<const HfPreTokenizer>> HfPreTokenizer::make(const HfObject& object) {
  ORRERY_ASSIGN_OR_RETURN(const std::string type, object.text("type"));
  const HfObject named{object.json, object.where + " " + printable(type)};
  if (type == "Sequence") return make_sequence(object);
  if (type == "Split") return make_split(named);
  if (type == "ByteLevel") return make_byte_level(named);
  if (type == "CharDelimiterSplit") return make_delimiter(named);
  if (type == "BertPreTokenizer") return make_step<BertPreTokenizer>();
  if (type == "Whitespace") return make_step<Whitespace>();
  if (type == "UnicodeScripts") return make_step<UnicodeScripts>();
  if (type == "WhitespaceSplit") return make_step<SplitByCharacter>(is_white_space, HfSplitBehavior::kRemoved);
  if (type == "Digits") {
    ORRERY_ASSIGN_OR_RETURN(const bool individual, named.flag("individual_digits"));
    return make_step<SplitByCharacter>(is_numeric,
                                       individual ? HfSplitBehavior::kIsolated : HfSplitBehavior::kContiguous);
  }
  if (type == "Punctuation") {
    ORRERY_ASSIGN_OR_RETURN(const HfSplitBehavior behavior, hf_split_behavior(named, HfSplitBehavior::kIsolated));
    return make_step<SplitByCharacter>(is_punctuation, behavior);
  }
  if (type == "Metaspace") {
    ORRERY_ASSIGN_OR_RETURN(HfMetaspace metaspace, HfMetaspace::read(named));
    return make_step<MetaspaceSplit>(std::move(metaspace));
  }
  if (type == "FixedLength") {
    ORRERY_ASSIGN_OR_RETURN(const int64_t length, named.integer("length", 1, std::numeric_limits<int32_t>::max(), 5));
    return make_step<FixedLength>(static_cast<size_t>(length));
  }
  return Error{ErrorCode::kUnsupported, object.where + " is of a kind that is not supported: " + in_quotes(type)};
}

}  // namespace orrery

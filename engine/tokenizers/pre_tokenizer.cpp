#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/tokenizers/pre_tokenizer.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <string>

#include "engine/formats/quoted.h"

namespace orrery {
namespace {

// Unicode's White_Space, which is what \s means where these patterns were written; PCRE2's own \s differs (U+180E).
#define ORRERY_WHITE \
  "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define ORRERY_SPACE "[" ORRERY_WHITE "]"
#define ORRERY_SPACES_AT_END ORRERY_SPACE "+(?![^" ORRERY_WHITE "])|" ORRERY_SPACE "+"

// The patterns published with the vocabularies (their tokenizer.json); alternatives in this order, first match wins.
constexpr const char* kGpt2 =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" ORRERY_WHITE "\\p{L}\\p{N}]+|" ORRERY_SPACES_AT_END;
constexpr const char* kDigit = "\\p{N}";
#define ORRERY_LLAMA3(digits)                                                               \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^" ORRERY_WHITE \
  "\\p{L}\\p{N}]+[\\r\\n]*|" ORRERY_SPACE "*[\\r\\n]+|" ORRERY_SPACES_AT_END
constexpr const char* kLlama3 = ORRERY_LLAMA3("\\p{N}{1,3}");
constexpr const char* kQwen2 = ORRERY_LLAMA3("\\p{N}");

}  // namespace

// A way of cutting and the names that GGUF files give it.
struct PreTokenizer::Family {
  std::array<const char*, 2> patterns;  // null where there is one stage only
  bool prefers_whole_words;
  bool adds_bos;
  std::array<std::string_view, 12> names;
};

const PreTokenizer::Family* PreTokenizer::find_family(std::string_view name) {
  static constexpr std::array kFamilies = {
      // Files without a name, or with "default", come from before names were written: GPT-2's was the only one then.
      Family{{kGpt2, nullptr},
             false,
             false,
             {"gpt-2", "default", "phi-2", "mpt", "olmo", "jais", "modern-bert", "exaone4", "gigachat", "mellum"}},
      Family{{kDigit, kGpt2},
             false,
             false,
             {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}},
      Family{{kLlama3, nullptr},
             true,
             true,
             {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"}},
      Family{{kLlama3, nullptr}, false, false, {"dbrx", "smaug-bpe"}},
      Family{{kQwen2, nullptr}, false, false, {"qwen2", "stablelm2", "deepseek-r1-qwen", "megrez"}},
  };
  for (const Family& family : kFamilies) {
    if (!name.empty() && std::find(family.names.begin(), family.names.end(), name) != family.names.end())
      return &family;
  }
  return nullptr;
}

// A compiled pattern.
class PreTokenizer::Pattern {
 public:
  explicit Pattern(const char* source) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_ =
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source), PCRE2_ZERO_TERMINATED, PCRE2_UTF, &error, &offset, nullptr);
    CHECK(code_ != nullptr, "a built-in pattern does not compile");
    pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);  // where it cannot, matching falls back to the interpreter
  }
  ~Pattern() { pcre2_code_free(code_); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  const pcre2_code* code() const { return code_; }

 private:
  pcre2_code* code_ = nullptr;
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::~PreTokenizer() = default;

Result<std::unique_ptr<const PreTokenizer>> PreTokenizer::make(std::string_view name) {
  const Family* family = find_family(name);
  if (family == nullptr) {
    return Error{ErrorCode::kUnsupported, "the pre-tokenizer is not supported yet: " + in_quotes(name)};
  }
  std::unique_ptr<PreTokenizer> result(new PreTokenizer);
  for (const char* pattern : family->patterns) {
    if (pattern != nullptr) result->stages_.push_back(std::make_unique<const Pattern>(pattern));
  }
  result->prefers_whole_words_ = family->prefers_whole_words;
  result->adds_bos_ = family->adds_bos;
  return std::unique_ptr<const PreTokenizer>(std::move(result));
}

Result<void> PreTokenizer::split(std::string_view text, const std::function<void(std::string_view)>& on_word) const {
  return split_from(0, text, on_word);
}

// Matches of the stage's pattern and what lies between them go to the next stage as pieces of their own, whose ends its
// lookaheads take for the ends of the text.
Result<void> PreTokenizer::split_from(size_t stage, std::string_view text,
                                      const std::function<void(std::string_view)>& on_word) const {
  if (text.empty()) return {};
  if (stage == stages_.size()) {
    on_word(text);
    return {};
  }
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(pcre2_match_data_create(1, nullptr),
                                                                                 &pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  if (data == nullptr || context == nullptr) return Error{ErrorCode::kOutOfMemory, "not enough memory to tokenize"};
  pcre2_set_match_limit(context.get(),
                        UINT32_MAX);  // the patterns backtrack by one character only, however long the run
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t done = 0;
  while (done < text.size()) {
    const int n =
        pcre2_match(stages_[stage]->code(), subject, text.size(), done, PCRE2_NO_UTF_CHECK, data.get(), context.get());
    if (n == PCRE2_ERROR_NOMATCH) break;
    if (n < 0)
      return Error{ErrorCode::kOutOfMemory, "the text cannot be cut into words, PCRE2 error " + std::to_string(n)};
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    CHECK(bounds[0] >= done && bounds[1] > bounds[0], "a pattern matched nothing");
    ORRERY_RETURN_IF_ERROR(split_from(stage + 1, text.substr(done, bounds[0] - done), on_word));
    ORRERY_RETURN_IF_ERROR(split_from(stage + 1, text.substr(bounds[0], bounds[1] - bounds[0]), on_word));
    done = bounds[1];
  }
  return split_from(stage + 1, text.substr(done), on_word);
}

}  // namespace orrery

#include "engine/tokenizers/hf_regex.h"

#include <oniguruma.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "engine/formats/quoted.h"
#include "engine/tokenizers/hf_unicode.h"

namespace orrery {
namespace {

// Ordinary patterns take about 0.1 µs a byte.
constexpr std::chrono::nanoseconds kBudget = std::chrono::seconds(5);
constexpr int64_t kBudgetNsPerByte = 2000;
// Backtracking of one search: ordinary patterns step back over a run of blanks once or twice.
constexpr size_t kRetries = 5'000'000;
constexpr size_t kRetriesPerByte = 8;
constexpr unsigned kMaxStack = 50'000'000;  // places to step back to, about 40 bytes each
constexpr unsigned kMaxNesting = 200;       // of groups; each level is a few frames of recursion in the compiler

std::chrono::nanoseconds thread_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

std::string onig_message(int code, OnigErrorInfo* info) {
  std::array<OnigUChar, ONIG_MAX_ERROR_MESSAGE_LEN> buffer{};
  const int length = onig_error_code_to_str(buffer.data(), code, info);
  return printable({reinterpret_cast<const char*>(buffer.data()), static_cast<size_t>(std::max(length, 0))}, 120);
}

const OnigUChar* as_onig(const char* text) { return reinterpret_cast<const OnigUChar*>(text); }

void initialize_onig() {
  static std::once_flag once;
  std::call_once(once, [] {
    std::array<OnigEncoding, 1> encodings = {ONIG_ENCODING_UTF8};
    onig_initialize(encodings.data(), static_cast<int>(encodings.size()));
    onig_set_parse_depth_limit(kMaxNesting);
  });
}

}  // namespace

HfSearchBudget::HfSearchBudget(size_t text_bytes)
    : limit_(kBudget + std::chrono::nanoseconds(kBudgetNsPerByte * static_cast<int64_t>(text_bytes))),
      begin_(std::chrono::steady_clock::now()),
      thread_begin_(thread_time()) {}

// The thread's own time decides, so that a busy machine refuses nothing; the wall clock is cheaper to ask.
bool HfSearchBudget::is_spent() {
  return std::chrono::steady_clock::now() - begin_ > limit_ && thread_time() - thread_begin_ > limit_;
}

struct HfRegex::Compiled {
  regex_t* regex = nullptr;
  ~Compiled() { onig_free(regex); }
};

HfRegex::HfRegex() = default;
HfRegex::~HfRegex() = default;

Result<std::unique_ptr<const HfRegex>> HfRegex::compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return Error{ErrorCode::kInvalidFile,
                 "a regular expression is too long: " + std::to_string(pattern.size()) + " bytes"};
  }
  initialize_onig();
  std::unique_ptr<HfRegex> result(new HfRegex);
  result->source_ = std::string(pattern);
  result->compiled_ = std::make_unique<Compiled>();
  OnigErrorInfo info{};
  const char* begin = result->source_.data();
  const int code = onig_new(&result->compiled_->regex, as_onig(begin), as_onig(begin + pattern.size()),
                            ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
  if (code != ONIG_NORMAL) {
    result->compiled_->regex = nullptr;
    return Error{ErrorCode::kUnsupported, "a regular expression is refused by Oniguruma (" + onig_message(code, &info) +
                                              "), " + in_quotes(pattern)};
  }
  return std::unique_ptr<const HfRegex>(std::move(result));
}

Result<std::unique_ptr<const HfRegex>> HfRegex::literal(std::string_view text) {
  if (text.size() > kMaxPatternBytes) {
    return Error{ErrorCode::kInvalidFile, "a text to look for is too long: " + std::to_string(text.size()) + " bytes"};
  }
  std::unique_ptr<HfRegex> result(new HfRegex);
  result->source_ = std::string(text);
  return std::unique_ptr<const HfRegex>(std::move(result));
}

Result<std::unique_ptr<const HfRegex>> HfRegex::from_field(const HfObject& step) {
  const nlohmann::json* field = step.find("pattern");
  for (const char* kind : {"Regex", "String"}) {
    if (field == nullptr || !field->is_object() || !field->contains(kind)) continue;
    const nlohmann::json& pattern = (*field)[kind];
    if (!pattern.is_string()) break;
    const std::string& text = pattern.get_ref<const std::string&>();
    Result<std::unique_ptr<const HfRegex>> made = kind[0] == 'R' ? compile(text) : literal(text);
    if (!made) return Error{made.error().code, step.where + ": " + made.error().message};
    return made;
  }
  return step.wrong("pattern", "an object with a text \"Regex\" or \"String\"");
}

// One search through one text: what Oniguruma needs for it, made once.
class HfRegex::Cursor {
 public:
  Cursor(const HfRegex& regex, std::string_view text)
      : regex_(regex),
        text_(text),
        limits_(regex.compiled_ ? onig_new_match_param() : nullptr, &onig_free_match_param),
        region_(regex.compiled_ ? onig_region_new() : nullptr, [](OnigRegion* r) { onig_region_free(r, 1); }) {
    if (limits_ == nullptr) return;
    const size_t retries = kRetries + kRetriesPerByte * text.size();
    onig_initialize_match_param(limits_.get());
    onig_set_retry_limit_in_match_of_match_param(limits_.get(), retries);
    onig_set_retry_limit_in_search_of_match_param(limits_.get(), retries);
    onig_set_match_stack_limit_size_of_match_param(limits_.get(), kMaxStack);
  }

  // The first match at or after `from`; begin is npos where there is none.
  Result<HfMatch> find(size_t from) {
    if (regex_.compiled_ == nullptr) {
      const size_t begin = text_.find(regex_.source_, from);
      return HfMatch{begin, begin + regex_.source_.size(), true};
    }
    if (limits_ == nullptr || region_ == nullptr) {
      return Error{ErrorCode::kOutOfMemory, "not enough memory to tokenize"};
    }
    const OnigUChar* begin = as_onig(text_.data());
    const OnigUChar* end = begin + text_.size();
    const int code = onig_search_with_param(regex_.compiled_->regex, begin, end, begin + from, end, region_.get(),
                                            ONIG_OPTION_NONE, limits_.get());
    if (code == ONIG_MISMATCH) return HfMatch{std::string_view::npos, 0, true};
    if (code < 0) {
      return Error{code == ONIGERR_MEMORY ? ErrorCode::kOutOfMemory : ErrorCode::kUnsupported,
                   "the text cannot be cut by a regular expression of the tokenizer (" + onig_message(code, nullptr) +
                       "), " + in_quotes(regex_.source_)};
    }
    return HfMatch{static_cast<size_t>(region_->beg[0]), static_cast<size_t>(region_->end[0]), true};
  }

 private:
  const HfRegex& regex_;
  std::string_view text_;
  std::unique_ptr<OnigMatchParam, decltype(&onig_free_match_param)> limits_;
  std::unique_ptr<OnigRegion, void (*)(OnigRegion*)> region_;
};

Result<void> HfRegex::search(std::string_view text, HfSearchBudget& budget,
                             const std::function<void(const HfMatch&)>& on_stretch) const {
  Cursor cursor(*this, text);
  size_t done = 0;  // what has been reported
  bool any = false;
  for (size_t from = 0; from <= text.size();) {
    ORRERY_ASSIGN_OR_RETURN(const HfMatch match, cursor.find(from));
    if (match.begin == std::string_view::npos) break;
    if (match.begin == match.end && any && match.end == done) {
      if (from == text.size()) break;
      next_character(text, from);
      continue;
    }
    if (match.begin > done) on_stretch({done, match.begin, false});
    on_stretch(match);
    done = from = match.end;
    any = true;
    if (budget.is_spent()) {
      return Error{ErrorCode::kUnsupported,
                   "a regular expression of the tokenizer takes too long on this text, " + in_quotes(source_)};
    }
  }
  if (done < text.size()) on_stretch({done, text.size(), false});
  return {};
}

}  // namespace orrery

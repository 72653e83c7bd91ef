// HfRegex: a pattern of a tokenizer.json. The files are written for Oniguruma, whose dialect differs from PCRE2's in
// what they use ("{1,3}+" repeats, "[\p{L}&&[^\p{Han}]]" intersects), so Oniguruma itself searches.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/tokenizers/hf_json.h"
#include "kernels/base/result.h"

namespace orrery {

// What one text may cost in searches: a file can hold a pattern that backtracks for years. Not thread safe.
class HfSearchBudget {
 public:
  explicit HfSearchBudget(size_t text_bytes);
  bool is_spent();

 private:
  std::chrono::nanoseconds limit_;
  std::chrono::steady_clock::time_point begin_;
  std::chrono::nanoseconds thread_begin_;
};

// A stretch of the searched text.
struct HfMatch {
  size_t begin = 0, end = 0;
  bool is_match = false;  // else it lies between matches
};

// Immutable; safe from any thread.
class HfRegex {
 public:
  static constexpr size_t kMaxPatternBytes = size_t{64} << 10;

  // kUnsupported for a pattern that Oniguruma refuses, with its reason; kInvalidFile for one beyond kMaxPatternBytes.
  static Result<std::unique_ptr<const HfRegex>> compile(std::string_view pattern);
  // Finds exactly this text. Empty text is found before every character and at the end.
  static Result<std::unique_ptr<const HfRegex>> literal(std::string_view text);

  // The field "pattern" of a step: {"Regex": …} or {"String": …}.
  static Result<std::unique_ptr<const HfRegex>> from_field(const HfObject& step);

  ~HfRegex();
  HfRegex(const HfRegex&) = delete;
  HfRegex& operator=(const HfRegex&) = delete;

  // Calls `on_stretch` for matches and what lies between them, in order: all of `text` (valid UTF-8). Matches may be
  // empty, but not where the one before ended. kUnsupported where the search would take too long.
  Result<void> search(std::string_view text, HfSearchBudget& budget,
                      const std::function<void(const HfMatch&)>& on_stretch) const;

 private:
  struct Compiled;
  class Cursor;
  HfRegex();

  std::string source_;
  std::unique_ptr<Compiled> compiled_;  // null: source_ is literal
};

}  // namespace orrery

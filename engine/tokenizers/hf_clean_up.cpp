#include "engine/tokenizers/hf_clean_up.h"

#include <array>
#include <utility>

#include "engine/tokenizers/hf_unicode.h"

namespace orrery {
namespace {

struct Rule {
  std::string_view old, by;
  bool word_piece_only = false;
};

constexpr std::array<Rule, 11> kRules = {{{" .", "."},
                                          {" ?", "?"},
                                          {" !", "!"},
                                          {" ,", ","},
                                          {" ' ", "'"},
                                          {" n't", "n't"},
                                          {" 'm", "'m"},
                                          {" do not", " don't", true},
                                          {" 's", "'s"},
                                          {" 've", "'ve"},
                                          {" 're", "'re"}}};

}  // namespace

std::string hf_clean_up(std::string text, HfCleanUp kind) {
  for (const Rule& rule : kRules) {
    if (!rule.word_piece_only || kind == HfCleanUp::kWordPiece)
      text = hf_replace_all(std::move(text), rule.old, rule.by);
  }
  return text;
}

std::string hf_replace_all(std::string text, std::string_view old, std::string_view by) {
  std::string out;
  if (old.empty()) {
    for_each_character(text, [&](char32_t, std::string_view bytes) { out.append(by).append(bytes); });
    return out.append(by);
  }
  size_t done = 0;
  for (size_t at = text.find(old); at != std::string::npos; at = text.find(old, done)) {
    out.append(text, done, at - done).append(by);
    done = at + old.size();
  }
  if (done == 0) return text;
  return out.append(text, done);
}

}  // namespace orrery

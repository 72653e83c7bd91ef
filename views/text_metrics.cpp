#include "views/text_metrics.h"

#include "views/utf8.h"

namespace orrery {
namespace {

constexpr float kAdvanceEm = 0.602f;  // of DejaVu Sans Mono
constexpr float kLineEm = 1.25f;
constexpr float kAscentEm = 0.97f;

}  // namespace

float FixedWidthMetrics::width(std::string_view utf8, TextSize size) const {
  int cells = 0;
  while (!utf8.empty()) {
    const Utf8Char next = next_utf8(utf8);
    cells += cell_width(next.code);
    utf8.remove_prefix(static_cast<size_t>(next.n_bytes));
  }
  return static_cast<float>(cells) * kAdvanceEm * theme_.size_px(size);
}

float FixedWidthMetrics::line_height(TextSize size) const { return kLineEm * theme_.size_px(size); }

float FixedWidthMetrics::ascent(TextSize size) const { return kAscentEm * theme_.size_px(size); }

}  // namespace orrery

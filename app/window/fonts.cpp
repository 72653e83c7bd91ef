#include "app/window/fonts.h"

#include <QFontMetricsF>
#include <QString>
#include <QStringList>
#include <algorithm>
#include <cmath>

namespace orrery {
namespace {

// Enough for every label and token on a screen, many times over; about 1 MB.
constexpr size_t kMostWidths = 16384;

}  // namespace

QFont scene_font(const Theme& theme, TextSize size, double scale) {
  QFont font;
  QStringList families = QString::fromLatin1(kSceneFontFamilies).split(QStringLiteral(", "));
  font.setFamilies(families);
  font.setPixelSize(std::max(1, static_cast<int>(std::lround(theme.size_px(size) * scale))));
  font.setBold(size == TextSize::kTitle);
  // Advances that do not depend on the pixel grid: a line is as wide at every device pixel ratio.
  font.setHintingPreference(QFont::PreferVerticalHinting);
  font.setKerning(false);  // so that the widths of plain text are sums
  return font;
}

QtTextMetrics::QtTextMetrics(const Theme& theme) {
  for (const TextSize size : {TextSize::kLabel, TextSize::kText, TextSize::kTitle}) {
    PerSize& per_size = sizes_[static_cast<size_t>(size)];
    per_size.font = scene_font(theme, size);
    const QFontMetricsF metrics(per_size.font);
    per_size.line_height = static_cast<float>(std::ceil(metrics.height()));
    per_size.ascent = static_cast<float>(std::round(metrics.ascent()));
    for (char c = ' '; c <= '~'; ++c) {
      per_size.advances[static_cast<size_t>(c)] = static_cast<float>(metrics.horizontalAdvance(QLatin1Char(c)));
    }
  }
}

bool is_plain_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

float QtTextMetrics::width(std::string_view utf8, TextSize size) const {
  const PerSize& per_size = of(size);
  if (is_plain_ascii(utf8)) {
    float sum = 0;
    for (const char c : utf8) sum += per_size.advances[static_cast<size_t>(c)];
    return sum;
  }
  if (const auto found = per_size.widths.find(utf8); found != per_size.widths.end()) return found->second;
  if (per_size.widths.size() >= kMostWidths) per_size.widths.clear();
  const QFontMetricsF metrics(per_size.font);
  const QString text = QString::fromUtf8(utf8.data(), static_cast<qsizetype>(utf8.size()));
  const float width = static_cast<float>(metrics.horizontalAdvance(text));
  per_size.widths.emplace(utf8, width);
  return width;
}

}  // namespace orrery

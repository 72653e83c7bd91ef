// Fonts of the window and of PNG shots: one family for scenes, with fallbacks for every script, and its metrics.
#pragma once

#include <QFont>
#include <array>
#include <string>
#include <string_view>
#include <unordered_map>

#include "views/text_metrics.h"
#include "views/theme.h"

namespace orrery {

// Families in the order in which glyphs are looked for, as CSS and QFont name them; fontconfig adds the rest.
inline constexpr const char* kSceneFontFamilies = "Noto Sans, DejaVu Sans, Noto Color Emoji, sans-serif";

// The font of a type size; `scale` device pixels per logical pixel. Needs a QGuiApplication.
QFont scene_font(const Theme& theme, TextSize size, double scale = 1);

struct TransparentHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <typename T>
using StringMap = std::unordered_map<std::string, T, TransparentHash, std::equal_to<>>;

// True where every character is printable ASCII: such text needs no shaping, its glyphs stand side by side. Most labels
// and numbers are, and new ones come with every token.
bool is_plain_ascii(std::string_view text);

// Widths as Qt shapes text, remembered. Bound to one theme; any one thread that has a QGuiApplication.
class QtTextMetrics final : public TextMetrics {
 public:
  explicit QtTextMetrics(const Theme& theme);
  float width(std::string_view utf8, TextSize size) const override;
  float line_height(TextSize size) const override { return of(size).line_height; }
  float ascent(TextSize size) const override { return of(size).ascent; }
  // How far the pen moves for a printable ASCII character.
  float advance(char c, TextSize size) const { return of(size).advances[static_cast<size_t>(c) & 127]; }

 private:
  struct PerSize {
    QFont font;
    float line_height = 0;
    float ascent = 0;
    std::array<float, 128> advances{};
    mutable StringMap<float> widths;
  };
  const PerSize& of(TextSize size) const { return sizes_[static_cast<size_t>(size)]; }
  std::array<PerSize, 3> sizes_;
};

}  // namespace orrery

// GlyphAtlas: text as Qt shapes it (bidirectional scripts, ligatures, font fallback, emoji), rasterised glyph by glyph
// into a texture. UI thread, with the canvas' GL context current.
#pragma once

#include <QColor>
#include <QOpenGLFunctions>
#include <QRawFont>
#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "app/window/fonts.h"
#include "views/text_metrics.h"

namespace orrery {

class GlyphAtlas final : public GlyphSource {
 public:
  // `metrics`, which outlive the atlas, are those of `theme`. `scale`: device pixels per logical pixel.
  GlyphAtlas(const Theme& theme, const QtTextMetrics& metrics, double scale);
  ~GlyphAtlas() override;
  GlyphAtlas(const GlyphAtlas&) = delete;
  GlyphAtlas& operator=(const GlyphAtlas&) = delete;

  // Once a frame, before any quads(): an atlas that ran full in the last frame starts over, larger.
  void begin_frame();
  std::span<const Quad> quads(std::string_view utf8, TextSize size) override;
  Size line_size(std::string_view utf8, TextSize size) override;

  size_t n_glyphs() const { return glyphs_.size(); }

 private:
  // Where a glyph lies in the texture and around its pen position, in device pixels.
  struct Glyph {
    int x = 0, y = 0, width = 0, height = 0;
    int left = 0, top = 0;  // of the bitmap, from the pen
    bool coloured = false;
  };
  struct GlyphKey {
    uint32_t font = 0;
    uint32_t glyph = 0;
    uint32_t shift = 0;  // quarters of a pixel
    bool operator==(const GlyphKey&) const = default;
  };
  struct GlyphHash {
    size_t operator()(const GlyphKey& key) const {
      return (static_cast<size_t>(key.font) << 40) ^ (static_cast<size_t>(key.shift) << 33) ^ key.glyph;
    }
  };

  std::vector<Quad> shape(std::string_view utf8, TextSize size);
  std::vector<Quad> place_plain(std::string_view ascii, TextSize size);
  // Appends the quad of a glyph with its pen at (x, baseline + y), device pixels.
  void add_quad(std::vector<Quad>& quads, uint32_t font, uint32_t index, double x, double y, TextSize size);
  uint32_t font_index(const QRawFont& font);
  const Glyph& glyph(const GlyphKey& key);
  Glyph rasterise(const GlyphKey& key);
  // Reserves a place; false where the atlas is full.
  bool place(Glyph& glyph);
  void create_texture();

  const QtTextMetrics& metrics_;
  double scale_;
  QOpenGLFunctions* gl_;
  std::array<QFont, 3> fonts_;
  std::array<int, 3> baselines_{};  // device pixels from the top of a line
  std::vector<QRawFont> raw_fonts_;
  struct Plain {
    uint32_t font = 0;
    std::array<uint32_t, 128> glyphs{};  // of printable ASCII
  };
  std::array<Plain, 3> plain_;
  std::unordered_map<GlyphKey, Glyph, GlyphHash> glyphs_;
  std::array<StringMap<std::vector<Quad>>, 3> lines_;
  unsigned texture_ = 0;
  int side_ = 1024;
  int shelf_x_ = 0, shelf_y_ = 0, shelf_height_ = 0;
  bool full_ = false;
};

}  // namespace orrery

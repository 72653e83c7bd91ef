#include "app/window/glyph_atlas.h"

#include <QFontMetricsF>
#include <QGlyphRun>
#include <QImage>
#include <QOpenGLContext>
#include <QPainter>
#include <QTextLayout>
#include <QTextOption>
#include <cmath>

namespace orrery {
namespace {

constexpr size_t kMostLines = 8192;
constexpr int kLargestSide = 4096;
constexpr int kGap = 1;     // empty pixels between glyphs, so that linear sampling mixes in none of the neighbour
constexpr int kShifts = 4;  // horizontal positions of a glyph within a pixel
constexpr int kLargestGlyph = 512;

// True where the image is anything but white of varying alpha: an emoji.
bool has_colour(const QImage& premultiplied) {
  for (int y = 0; y < premultiplied.height(); ++y) {
    const auto* line = reinterpret_cast<const QRgb*>(premultiplied.constScanLine(y));
    for (int x = 0; x < premultiplied.width(); ++x) {
      const int alpha = qAlpha(line[x]);
      if (std::abs(qRed(line[x]) - alpha) > 2 || std::abs(qGreen(line[x]) - alpha) > 2 ||
          std::abs(qBlue(line[x]) - alpha) > 2) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

GlyphAtlas::GlyphAtlas(const Theme& theme, const QtTextMetrics& metrics, double scale)
    : metrics_(metrics), scale_(scale), gl_(QOpenGLContext::currentContext()->functions()) {
  for (const TextSize size : {TextSize::kLabel, TextSize::kText, TextSize::kTitle}) {
    const auto i = static_cast<size_t>(size);
    fonts_[i] = scene_font(theme, size, scale);
    baselines_[i] = static_cast<int>(std::lround(metrics_.ascent(size) * scale));
    const QRawFont raw = QRawFont::fromFont(fonts_[i]);
    plain_[i].font = font_index(raw);
    for (char c = ' '; c <= '~'; ++c) {
      const QList<quint32> indexes = raw.glyphIndexesForString(QString(QLatin1Char(c)));
      plain_[i].glyphs[static_cast<size_t>(c)] = indexes.isEmpty() ? 0 : indexes.front();
    }
  }
  create_texture();
}

GlyphAtlas::~GlyphAtlas() { gl_->glDeleteTextures(1, &texture_); }

void GlyphAtlas::create_texture() {
  if (texture_ != 0) gl_->glDeleteTextures(1, &texture_);
  gl_->glGenTextures(1, &texture_);
  gl_->glBindTexture(GL_TEXTURE_2D, texture_);
  const std::vector<uint8_t> clear(static_cast<size_t>(side_) * static_cast<size_t>(side_) * 4, 0);
  gl_->glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, side_, side_, 0, GL_RGBA, GL_UNSIGNED_BYTE, clear.data());
  gl_->glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
  gl_->glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
  gl_->glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
  gl_->glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
}

void GlyphAtlas::begin_frame() {
  if (!full_) return;
  full_ = false;
  glyphs_.clear();
  for (auto& lines : lines_) lines.clear();
  shelf_x_ = shelf_y_ = shelf_height_ = 0;
  side_ = std::min(side_ * 2, kLargestSide);
  create_texture();
}

std::span<const GlyphSource::Quad> GlyphAtlas::quads(std::string_view utf8, TextSize size) {
  auto& lines = lines_[static_cast<size_t>(size)];
  if (const auto found = lines.find(utf8); found != lines.end()) return found->second;
  if (lines.size() >= kMostLines) lines.clear();
  std::vector<Quad> made = is_plain_ascii(utf8) ? place_plain(utf8, size) : shape(utf8, size);
  return lines.emplace(utf8, std::move(made)).first->second;
}

Size GlyphAtlas::line_size(std::string_view utf8, TextSize size) {
  return {metrics_.width(utf8, size), metrics_.line_height(size)};
}

std::vector<GlyphSource::Quad> GlyphAtlas::shape(std::string_view utf8, TextSize size) {
  const auto size_index = static_cast<size_t>(size);
  QTextLayout layout(QString::fromUtf8(utf8.data(), static_cast<qsizetype>(utf8.size())), fonts_[size_index]);
  QTextOption option(Qt::AlignLeft | Qt::AlignAbsolute);
  option.setTextDirection(Qt::LeftToRight);  // scenes place lines from the left; runs inside keep their direction
  option.setWrapMode(QTextOption::NoWrap);
  layout.setTextOption(option);
  layout.beginLayout();
  QTextLine line = layout.createLine();
  if (!line.isValid()) return {};
  line.setLineWidth(1e6);
  layout.endLayout();

  std::vector<Quad> quads;
  const double line_ascent = line.ascent();
  for (const QGlyphRun& run : layout.glyphRuns()) {
    const uint32_t font = font_index(run.rawFont());
    const QList<quint32> indexes = run.glyphIndexes();
    const QList<QPointF> positions = run.positions();
    for (qsizetype i = 0; i < indexes.size() && i < positions.size(); ++i) {
      // Marks of scripts that stack them sit off the baseline.
      add_quad(quads, font, indexes[i], positions[i].x(), positions[i].y() - line_ascent, size);
    }
  }
  return quads;
}

std::vector<GlyphSource::Quad> GlyphAtlas::place_plain(std::string_view ascii, TextSize size) {
  const Plain& plain = plain_[static_cast<size_t>(size)];
  std::vector<Quad> quads;
  quads.reserve(ascii.size());
  double pen = 0;
  for (const char c : ascii) {
    add_quad(quads, plain.font, plain.glyphs[static_cast<size_t>(c)], pen, 0, size);
    pen += static_cast<double>(metrics_.advance(c, size)) * scale_;
  }
  return quads;
}

void GlyphAtlas::add_quad(std::vector<Quad>& quads, uint32_t font, uint32_t index, double x, double y, TextSize size) {
  const double quarters = std::round(x * kShifts);
  const double pen_x = std::floor(quarters / kShifts);
  const Glyph& g = glyph({font, index, static_cast<uint32_t>(quarters - pen_x * kShifts)});
  if (g.width == 0) return;
  const double pen_y = baselines_[static_cast<size_t>(size)] + std::round(y);
  const double side = side_;
  Quad quad;
  quad.texture = reinterpret_cast<ImTextureID>(static_cast<intptr_t>(texture_));
  quad.rect = {static_cast<float>((pen_x + g.left) / scale_), static_cast<float>((pen_y + g.top) / scale_),
               static_cast<float>(g.width / scale_), static_cast<float>(g.height / scale_)};
  quad.uv_min = {static_cast<float>(g.x / side), static_cast<float>(g.y / side)};
  quad.uv_max = {static_cast<float>((g.x + g.width) / side), static_cast<float>((g.y + g.height) / side)};
  quad.coloured = g.coloured;
  quads.push_back(quad);
}

uint32_t GlyphAtlas::font_index(const QRawFont& font) {
  for (size_t i = 0; i < raw_fonts_.size(); ++i) {
    if (raw_fonts_[i] == font) return static_cast<uint32_t>(i);
  }
  raw_fonts_.push_back(font);
  return static_cast<uint32_t>(raw_fonts_.size() - 1);
}

const GlyphAtlas::Glyph& GlyphAtlas::glyph(const GlyphKey& key) {
  if (const auto found = glyphs_.find(key); found != glyphs_.end()) return found->second;
  return glyphs_.emplace(key, rasterise(key)).first->second;
}

GlyphAtlas::Glyph GlyphAtlas::rasterise(const GlyphKey& key) {
  const QRawFont& font = raw_fonts_[key.font];
  const QRectF bounds = font.boundingRect(key.glyph);
  if (bounds.isEmpty()) return {};  // a space
  Glyph glyph;
  glyph.left = static_cast<int>(std::floor(bounds.left())) - 1;
  glyph.top = static_cast<int>(std::floor(bounds.top())) - 1;
  glyph.width = std::min(static_cast<int>(std::ceil(bounds.right())) + 2 - glyph.left, kLargestGlyph);
  glyph.height = std::min(static_cast<int>(std::ceil(bounds.bottom())) + 1 - glyph.top, kLargestGlyph);

  QImage image(glyph.width, glyph.height, QImage::Format_ARGB32_Premultiplied);
  image.fill(Qt::transparent);
  {
    QPainter painter(&image);
    painter.setRenderHint(QPainter::TextAntialiasing);
    painter.setPen(Qt::white);
    QGlyphRun run;
    run.setRawFont(font);
    run.setGlyphIndexes({key.glyph});
    run.setPositions({QPointF(0, 0)});
    painter.drawGlyphRun(QPointF(-glyph.left + key.shift / static_cast<double>(kShifts), -glyph.top), run);
  }
  glyph.coloured = has_colour(image);
  if (!place(glyph)) return {};
  // Straight alpha, as ImGui blends.
  QImage straight = image.convertToFormat(QImage::Format_RGBA8888);
  if (!glyph.coloured) {
    // White everywhere, so that linear sampling at the edges does not darken.
    for (int y = 0; y < straight.height(); ++y) {
      uint8_t* line = straight.scanLine(y);
      for (int x = 0; x < straight.width(); ++x) line[4 * x] = line[4 * x + 1] = line[4 * x + 2] = 255;
    }
  }
  gl_->glBindTexture(GL_TEXTURE_2D, texture_);
  gl_->glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
  gl_->glTexSubImage2D(GL_TEXTURE_2D, 0, glyph.x, glyph.y, glyph.width, glyph.height, GL_RGBA, GL_UNSIGNED_BYTE,
                       straight.constBits());
  return glyph;
}

bool GlyphAtlas::place(Glyph& glyph) {
  if (shelf_x_ + glyph.width + kGap > side_) {
    shelf_x_ = 0;
    shelf_y_ += shelf_height_;
    shelf_height_ = 0;
  }
  if (shelf_y_ + glyph.height + kGap > side_) {
    full_ = true;
    return false;
  }
  glyph.x = shelf_x_;
  glyph.y = shelf_y_;
  shelf_x_ += glyph.width + kGap;
  shelf_height_ = std::max(shelf_height_, glyph.height + kGap);
  return true;
}

}  // namespace orrery

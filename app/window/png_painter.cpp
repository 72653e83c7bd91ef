#include "app/window/png_painter.h"

#include <QImage>
#include <QPainter>
#include <QPainterPath>
#include <cmath>

#include "app/window/fonts.h"

namespace orrery {
namespace {

QColor to_qcolor(Rgba c) { return {c.r, c.g, c.b, c.a}; }
QRectF to_qrect(const Rect& r) {
  return {static_cast<qreal>(r.x), static_cast<qreal>(r.y), static_cast<qreal>(r.width), static_cast<qreal>(r.height)};
}

class ScenePainter {
 public:
  ScenePainter(QPainter& painter, const Theme& theme) : painter_(painter), theme_(theme), metrics_(theme) {
    for (size_t i = 0; i < fonts_.size(); ++i) fonts_[i] = scene_font(theme, static_cast<TextSize>(i));
  }

  void paint(const Scene& scene) {
    scene_ = &scene;
    for (const Item& item : scene.items) {
      std::visit([this](const auto& shape) { paint_item(shape); }, item);
    }
    for (const ScenePanel& panel : scene.panels) {
      painter_.save();
      painter_.setClipRect(to_qrect(panel.rect), Qt::IntersectClip);
      painter_.translate(static_cast<qreal>(panel.rect.x), static_cast<qreal>(panel.rect.y));
      ScenePainter(painter_, theme_).paint(*panel.scene);
      painter_.restore();
    }
  }

 private:
  QColor colour(const Paint& paint) const { return to_qcolor(resolve_paint(paint, *scene_, theme_)); }

  void paint_item(const Tile& tile) {
    if (tile.rows <= 0 || tile.cols <= 0 || tile.rect.empty()) return;
    const std::vector<Rgba> pixels = tile_pixels(tile, scene_->scales[static_cast<size_t>(tile.scale)], theme_);
    const QImage image(reinterpret_cast<const uchar*>(pixels.data()), tile.cols, tile.rows,
                       static_cast<qsizetype>(tile.cols) * 4, QImage::Format_RGBA8888);
    painter_.setRenderHint(QPainter::SmoothPixmapTransform, false);
    painter_.drawImage(to_qrect(tile.rect), image);
  }

  void paint_item(const Hatch& hatch) {
    painter_.save();
    painter_.setClipRect(to_qrect(hatch.rect), Qt::IntersectClip);
    painter_.setRenderHint(QPainter::Antialiasing, true);
    painter_.setPen(QPen(to_qcolor(theme_.colour(ColourRole::kGrid)), static_cast<qreal>(theme_.line_px)));
    constexpr qreal kSpacing = 6;
    const QRectF r = to_qrect(hatch.rect);
    for (qreal x = r.left() - r.height(); x < r.right(); x += kSpacing) {
      painter_.drawLine(QPointF(x, r.bottom()), QPointF(x + r.height(), r.top()));
    }
    painter_.restore();
  }

  void paint_item(const Polyline& line) {
    if (line.points.size() < 2) return;
    QPolygonF points;
    points.reserve(static_cast<qsizetype>(line.points.size()));
    for (const Point& p : line.points) points.append({static_cast<qreal>(p.x), static_cast<qreal>(p.y)});
    painter_.setRenderHint(QPainter::Antialiasing, true);
    painter_.setBrush(Qt::NoBrush);
    painter_.setPen(
        QPen(colour(line.paint), static_cast<qreal>(line.width), Qt::SolidLine, Qt::FlatCap, Qt::RoundJoin));
    painter_.drawPolyline(points);
  }

  void paint_item(const Box& box) {
    const bool filled = box.fill.kind != Paint::Kind::kNone;
    const bool stroked = box.stroke.kind != Paint::Kind::kNone && box.stroke_width > 0;
    if (!filled && !stroked) return;
    painter_.setRenderHint(QPainter::Antialiasing, box.corner > 0);
    painter_.setBrush(filled ? QBrush(colour(box.fill)) : QBrush(Qt::NoBrush));
    QRectF rect = to_qrect(box.rect);
    if (stroked) {
      const auto inset = static_cast<qreal>(box.stroke_width) / 2;
      rect.adjust(inset, inset, -inset, -inset);
      painter_.setRenderHint(QPainter::Antialiasing, true);
      painter_.setPen(
          QPen(colour(box.stroke), static_cast<qreal>(box.stroke_width), Qt::SolidLine, Qt::SquareCap, Qt::MiterJoin));
    } else {
      painter_.setPen(Qt::NoPen);
    }
    if (box.corner > 0) {
      painter_.drawRoundedRect(rect, static_cast<qreal>(box.corner), static_cast<qreal>(box.corner));
    } else {
      painter_.drawRect(rect);
    }
  }

  void paint_item(const Text& text) {
    if (text.text.empty()) return;
    float x = text.at.x;
    if (text.align != Align::kLeft) {
      const float width = metrics_.width(text.text, text.size);
      x -= text.align == Align::kRight ? width : width / 2;
    }
    // The line's middle is at text.at.y; whole pixels keep small type crisp.
    const float top = std::round(text.at.y - metrics_.line_height(text.size) / 2);
    painter_.setFont(fonts_[static_cast<size_t>(text.size)]);
    painter_.setPen(colour(text.paint));
    painter_.setLayoutDirection(Qt::LeftToRight);
    painter_.drawText(QPointF(static_cast<qreal>(std::round(x)), static_cast<qreal>(top + metrics_.ascent(text.size))),
                      QString::fromStdString(text.text));
  }

  QPainter& painter_;
  const Theme& theme_;
  QtTextMetrics metrics_;
  std::array<QFont, 3> fonts_;
  const Scene* scene_ = nullptr;
};

}  // namespace

void paint_scene(QPainter& painter, const Scene& scene, const Theme& theme) {
  ScenePainter(painter, theme).paint(scene);
}

}  // namespace orrery

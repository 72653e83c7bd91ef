#include "app/window/appearance.h"

#include <QApplication>
#include <QPainter>
#include <QPalette>
#include <QPixmap>
#include <QStyleFactory>
#include <QToolTip>
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "app/window/fonts.h"

namespace orrery {
namespace {

QColor mix(const QColor& a, const QColor& b, double share) {
  const auto part = [share](int x, int y) { return static_cast<int>(x + (y - x) * share); };
  return {part(a.red(), b.red()), part(a.green(), b.green()), part(a.blue(), b.blue())};
}

QPalette make_palette(const Theme& theme) {
  const QColor ground = to_qcolor(theme.colour(ColourRole::kGround));
  const QColor panel = to_qcolor(theme.colour(ColourRole::kPanel));
  const QColor text = to_qcolor(theme.colour(ColourRole::kForeground));
  const QColor muted = to_qcolor(theme.colour(ColourRole::kMuted));
  const QColor accent = to_qcolor(theme.colour(ColourRole::kAccent));
  QPalette palette;
  palette.setColor(QPalette::Window, ground);
  palette.setColor(QPalette::WindowText, text);
  palette.setColor(QPalette::Base, panel);
  palette.setColor(QPalette::AlternateBase, mix(panel, text, 0.04));
  palette.setColor(QPalette::Text, text);
  palette.setColor(QPalette::Button, mix(ground, text, 0.06));
  palette.setColor(QPalette::ButtonText, text);
  palette.setColor(QPalette::BrightText, to_qcolor(theme.colour(ColourRole::kWarning)));
  palette.setColor(QPalette::PlaceholderText, muted);
  palette.setColor(QPalette::Highlight, accent);
  palette.setColor(QPalette::HighlightedText, accent.lightnessF() > 0.6 ? QColor(Qt::black) : QColor(Qt::white));
  palette.setColor(QPalette::Link, accent);
  palette.setColor(QPalette::ToolTipBase, panel);
  palette.setColor(QPalette::ToolTipText, text);
  palette.setColor(QPalette::Light, mix(ground, text, 0.02));
  palette.setColor(QPalette::Midlight, mix(ground, text, 0.08));
  palette.setColor(QPalette::Mid, mix(ground, text, 0.18));
  palette.setColor(QPalette::Dark, mix(ground, text, 0.28));
  palette.setColor(QPalette::Shadow, mix(ground, Qt::black, 0.5));
  for (const QPalette::ColorRole role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText}) {
    palette.setColor(QPalette::Disabled, role, mix(muted, ground, 0.35));
  }
  palette.setColor(QPalette::Disabled, QPalette::Highlight, mix(ground, text, 0.15));
  return palette;
}

void paint_shape(QPainter& painter, IconKind kind) {
  const auto triangle = [&painter](double x, double w, bool left) {
    const QPointF points[] = {{left ? x + w : x, 4}, {left ? x + w : x, 20}, {left ? x : x + w, 12}};
    painter.drawPolygon(points, 3);
  };
  switch (kind) {
    case IconKind::kPlay:
      triangle(6, 14, false);
      break;
    case IconKind::kPause:
      painter.drawRect(QRectF(6, 4, 4, 16));
      painter.drawRect(QRectF(14, 4, 4, 16));
      break;
    case IconKind::kStep:
      triangle(5, 10, false);
      painter.drawRect(QRectF(16, 4, 3, 16));
      break;
    case IconKind::kStop:
      painter.drawRect(QRectF(5, 5, 14, 14));
      break;
    case IconKind::kOpen: {
      const QPointF folder[] = {{3, 6}, {10, 6}, {12, 8}, {21, 8}, {21, 19}, {3, 19}};
      painter.drawPolygon(folder, 6);
      break;
    }
    case IconKind::kBack:
      triangle(4, 8, true);
      painter.drawRect(QRectF(12, 10.5, 8, 3));
      break;
    case IconKind::kForward:
      triangle(12, 8, false);
      painter.drawRect(QRectF(4, 10.5, 8, 3));
      break;
    case IconKind::kFollow:
      triangle(4, 8, false);
      triangle(12, 8, false);
      break;
  }
}

int type_percent = 100;

}  // namespace

const Theme& window_theme(ThemeKind kind) {
  static std::map<std::pair<ThemeKind, int>, Theme> themes;
  const auto [found, is_new] = themes.try_emplace({kind, type_percent}, theme_of(kind));
  if (is_new) {
    const float scale = static_cast<float>(type_percent) / 100;
    Theme& theme = found->second;
    theme.label_px = std::max(6.0f, std::round(theme.label_px * scale));
    theme.text_px = std::max(7.0f, std::round(theme.text_px * scale));
    theme.line_px *= std::max(1.0f, scale);
  }
  return found->second;
}

void set_type_scale(int percent) { type_percent = std::clamp(percent, 50, 300); }

QColor to_qcolor(Rgba colour) { return {colour.r, colour.g, colour.b, colour.a}; }

void apply_appearance(const Theme& theme) {
  QApplication::setStyle(QStyleFactory::create(QStringLiteral("Fusion")));
  QApplication::setPalette(make_palette(theme));
  QToolTip::setPalette(QApplication::palette());
  QFont font = scene_font(theme, TextSize::kText);
  font.setPixelSize(static_cast<int>(theme.text_px) - 1);
  QApplication::setFont(font);
  QToolTip::setFont(font);
}

QIcon make_icon(IconKind kind, const Theme& theme) {
  const auto pixmap = [kind](const QColor& colour) {
    QPixmap image(48, 48);
    image.fill(Qt::transparent);
    QPainter painter(&image);
    painter.setRenderHint(QPainter::Antialiasing);
    painter.scale(2, 2);
    painter.setPen(Qt::NoPen);
    painter.setBrush(colour);
    paint_shape(painter, kind);
    return image;
  };
  QColor disabled = to_qcolor(theme.colour(ColourRole::kMuted));
  disabled.setAlpha(110);
  QIcon icon;
  icon.addPixmap(pixmap(to_qcolor(theme.colour(ColourRole::kForeground))), QIcon::Normal);
  icon.addPixmap(pixmap(disabled), QIcon::Disabled);
  return icon;
}

}  // namespace orrery

#include "app/window/dock_grip.h"

#include <QMouseEvent>
#include <QPainter>

namespace orrery {

DockGrip::DockGrip(const QString& title, QWidget* parent) : QWidget(parent) {
  setCursor(Qt::SizeAllCursor);
  setAttribute(Qt::WA_Hover);
  setToolTip(tr("%1: drag to move or float, double-click to maximise (M)").arg(title));
}

// Seen only while the pointer is over it: the picture below is what counts.
void DockGrip::paintEvent(QPaintEvent*) {
  if (!underMouse()) return;
  QPainter painter(this);
  painter.setPen(Qt::NoPen);
  painter.setBrush(palette().color(QPalette::Mid));
  for (int i = -3; i <= 3; ++i) painter.drawRect(width() / 2 + i * 6, height() / 2 - 1, 2, 2);
}

// Kept from the dock, which would float.
void DockGrip::mouseDoubleClickEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton || !on_double_click) return QWidget::mouseDoubleClickEvent(event);
  event->accept();
  on_double_click();
}

}  // namespace orrery

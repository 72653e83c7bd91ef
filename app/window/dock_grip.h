// DockGrip: a dock's title bar for views that carry their own title: a thin handle to drag it by.
#pragma once

#include <QWidget>
#include <functional>

namespace orrery {

class DockGrip final : public QWidget {
 public:
  explicit DockGrip(const QString& title, QWidget* parent = nullptr);
  std::function<void()> on_double_click;

  QSize sizeHint() const override { return {40, 8}; }
  QSize minimumSizeHint() const override { return {20, 8}; }

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mouseDoubleClickEvent(QMouseEvent* event) override;
};

}  // namespace orrery

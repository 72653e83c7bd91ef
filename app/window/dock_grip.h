// DockGrip: a dock's title bar for views that carry their own title: a thin handle to drag it by.
#pragma once

#include <QWidget>

namespace orrery {

class DockGrip final : public QWidget {
 public:
  explicit DockGrip(const QString& title, QWidget* parent = nullptr);
  QSize sizeHint() const override { return {40, 8}; }
  QSize minimumSizeHint() const override { return {20, 8}; }

 protected:
  void paintEvent(QPaintEvent* event) override;
};

}  // namespace orrery

// How a row of the library is drawn: a title, what belongs to it on the right, and a second, quieter line below.
#pragma once

#include <QStyledItemDelegate>

namespace orrery {

class LibraryDelegate final : public QStyledItemDelegate {
  Q_OBJECT
 public:
  using QStyledItemDelegate::QStyledItemDelegate;
  static constexpr int kDetailRole = Qt::UserRole + 10;  // text on the right
  static constexpr int kNoteRole = Qt::UserRole + 11;    // second line; may be empty

  void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
  QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override;
};

}  // namespace orrery

#include "app/window/library_delegate.h"

#include <QApplication>
#include <QPainter>

namespace orrery {
namespace {

constexpr int kMargin = 4;   // beside the text
constexpr int kPadding = 2;  // above and below it
constexpr int kGap = 8;      // between title and detail

QFont note_font(QFont font) {
  if (font.pixelSize() > 0) font.setPixelSize(qMax(9, font.pixelSize() - 2));
  font.setBold(false);
  return font;
}

}  // namespace

void LibraryDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const {
  QStyleOptionViewItem item = option;
  initStyleOption(&item, index);
  const QString title = item.text;
  const QString detail = index.data(kDetailRole).toString();
  const QString note = index.data(kNoteRole).toString();
  item.text.clear();
  QApplication::style()->drawControl(QStyle::CE_ItemViewItem, &item, painter, item.widget);

  const bool selected = item.state.testFlag(QStyle::State_Selected);
  const QPalette::ColorGroup group = item.state.testFlag(QStyle::State_Enabled) ? QPalette::Normal : QPalette::Disabled;
  const QColor strong = item.palette.color(group, selected ? QPalette::HighlightedText : QPalette::Text);
  const QColor quiet = selected ? strong : item.palette.color(group, QPalette::PlaceholderText);
  const QRect area = item.rect.adjusted(kMargin, kPadding, -kMargin, -kPadding);
  const QFont small = note_font(item.font);
  const QFontMetrics metrics(item.font);
  const QFontMetrics small_metrics(small);
  const QRect line(area.left(), area.top(), area.width(), metrics.height());

  painter->save();
  painter->setFont(small);
  painter->setPen(quiet);
  const int detail_width = small_metrics.horizontalAdvance(detail);
  painter->drawText(line, Qt::AlignRight | Qt::AlignVCenter, detail);
  if (!note.isEmpty()) {
    const QRect below(area.left(), line.bottom() + 1, area.width(), small_metrics.height());
    painter->drawText(below, Qt::AlignLeft | Qt::AlignVCenter,
                      small_metrics.elidedText(note, Qt::ElideRight, below.width()));
  }
  painter->setFont(item.font);
  painter->setPen(strong);
  const int title_width = line.width() - (detail.isEmpty() ? 0 : detail_width + kGap);
  painter->drawText(line, Qt::AlignLeft | Qt::AlignVCenter, metrics.elidedText(title, Qt::ElideRight, title_width));
  painter->restore();
}

QSize LibraryDelegate::sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const {
  QStyleOptionViewItem item = option;
  initStyleOption(&item, index);
  int height = QFontMetrics(item.font).height() + 2 * kPadding;
  if (!index.data(kNoteRole).toString().isEmpty()) height += QFontMetrics(note_font(item.font)).height() + 1;
  return {0, height};
}

}  // namespace orrery

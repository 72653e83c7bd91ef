#include "app/window/read_text_dialog.h"

#include <QCheckBox>
#include <QDialogButtonBox>
#include <QHBoxLayout>
#include <QLabel>
#include <QLocale>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QRadioButton>
#include <QSpinBox>
#include <QTimer>
#include <QVBoxLayout>
#include <algorithm>

#include "app/prompt.h"

namespace orrery {
namespace {

constexpr qsizetype kCountedCharacters = 200'000;  // a longer text is counted when it is read

}  // namespace

ReadTextDialog::ReadTextDialog(const Now& now, QWidget* parent) : QDialog(parent), now_(now) {
  setObjectName(QStringLiteral("read_dialog"));
  setWindowTitle(tr("Read this"));
  edit_ = new QPlainTextEdit;
  edit_->setObjectName(QStringLiteral("read_text"));
  edit_->setAccessibleName(tr("Text to be read"));
  edit_->setPlaceholderText(now_.tokenizer
                                ? tr("Paste what the model shall read. Nothing is added to it, and markers "
                                     "of a chat in it are plain text")
                                : tr("Token ids, separated by commas or spaces: this model has no tokenizer"));
  edit_->setTabChangesFocus(true);
  count_ = new QLabel;
  count_->setObjectName(QStringLiteral("read_count"));
  count_->setForegroundRole(QPalette::PlaceholderText);
  go_on_ = new QRadioButton(tr("In the run on the screen, after its last token"));
  go_on_->setObjectName(QStringLiteral("read_go_on"));
  anew_ = new QRadioButton(tr("In a new run"));
  anew_->setObjectName(QStringLiteral("read_anew"));
  const bool can_continue = now_.cannot_continue.isEmpty();
  go_on_->setEnabled(can_continue);
  (can_continue ? go_on_ : anew_)->setChecked(true);
  auto* why = new QLabel(can_continue ? QString() : now_.cannot_continue);
  why->setTextFormat(Qt::PlainText);
  why->setWordWrap(true);
  why->setForegroundRole(QPalette::PlaceholderText);
  why->setVisible(!can_continue);
  generate_ = new QCheckBox(tr("Then generate up to"));
  generate_->setObjectName(QStringLiteral("read_generate"));
  n_new_tokens_ = new QSpinBox;
  n_new_tokens_->setRange(1, 1'000'000);
  n_new_tokens_->setSuffix(tr(" tokens"));
  n_new_tokens_->setValue(static_cast<int>(std::max<int64_t>(now_.n_new_tokens, 1)));
  n_new_tokens_->setEnabled(false);
  connect(generate_, &QCheckBox::toggled, n_new_tokens_, &QWidget::setEnabled);
  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Cancel);
  read_ = buttons->addButton(tr("&Read"), QDialogButtonBox::AcceptRole);
  read_->setObjectName(QStringLiteral("read_accept"));
  connect(buttons, &QDialogButtonBox::accepted, this, &QDialog::accept);
  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
  auto* pause = new QTimer(this);  // typing is not held up by counting
  pause->setSingleShot(true);
  pause->setInterval(200);
  connect(pause, &QTimer::timeout, this, &ReadTextDialog::refresh);
  connect(edit_, &QPlainTextEdit::textChanged, this, [this, pause] {
    read_->setEnabled(!edit_->toPlainText().isEmpty());
    pause->start();
  });
  auto* row = new QHBoxLayout;
  row->addWidget(generate_);
  row->addWidget(n_new_tokens_);
  row->addStretch(1);
  auto* layout = new QVBoxLayout(this);
  layout->addWidget(edit_, 1);
  layout->addWidget(count_);
  layout->addWidget(go_on_);
  layout->addWidget(why);
  layout->addWidget(anew_);
  layout->addLayout(row);
  layout->addWidget(buttons);
  resize(620, 460);
  read_->setEnabled(false);
  refresh();
  edit_->setFocus();
}

void ReadTextDialog::refresh() {
  const QString text = edit_->toPlainText();
  const QString characters = tr("%1 characters").arg(QLocale().toString(text.size()));
  if (now_.tokenizer == nullptr || text.isEmpty() || text.size() > kCountedCharacters) {
    return count_->setText(text.isEmpty() ? QString() : characters);
  }
  const auto ids = now_.tokenizer->encode(text.toStdString(), EncodeOptions::plain());
  count_->setText(ids ? tr("%1 tokens, %2").arg(QLocale().toString(std::ssize(*ids)), characters) : characters);
}

GenerateRequest ReadTextDialog::request() const {
  GenerateRequest request;
  request.forced = true;
  request.kind = now_.tokenizer ? PromptKind::kPrompt : PromptKind::kTokens;
  request.text = edit_->toPlainText().toStdString();
  request.go_on = go_on_->isChecked();
  request.n_new_tokens = generate_->isChecked() ? n_new_tokens_->value() : 0;
  return request;
}

}  // namespace orrery

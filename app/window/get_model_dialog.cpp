#include "app/window/get_model_dialog.h"

#include <QCheckBox>
#include <QDialogButtonBox>
#include <QKeyEvent>
#include <QLabel>
#include <QLineEdit>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QVBoxLayout>
#include <algorithm>

namespace orrery {
namespace {

constexpr int kWidth = 600;
constexpr int kHeightWithPlan = 440;  // wrapped labels do not ask for their height

QLabel* wrapped_label() {
  auto* label = new QLabel;
  label->setTextFormat(Qt::PlainText);
  label->setWordWrap(true);
  return label;
}

QString to_text(const std::string& text) { return QString::fromStdString(text); }

// Addresses may be broken where they part, so that a long one does not widen the dialog.
QString breakable(QString text) { return text.replace('/', QStringLiteral("/\u200b")); }

}  // namespace

GetModelDialog::GetModelDialog(QWidget* parent) : QDialog(parent) {
  setObjectName(QStringLiteral("get_model"));
  setWindowTitle(tr("Get a model"));
  what_ = new QLineEdit;
  what_->setObjectName(QStringLiteral("get_what"));
  what_->setPlaceholderText(tr("hf:owner/name, or the address of a .gguf file"));
  what_->setClearButtonEnabled(true);
  what_->setAccessibleName(tr("Model, repository or address"));
  look_up_ = new QPushButton(tr("Look up"));
  look_up_->setAutoDefault(false);
  auto* line = new QHBoxLayout;
  line->addWidget(what_, 1);
  line->addWidget(look_up_);
  error_ = wrapped_label();
  error_->setObjectName(QStringLiteral("get_error"));
  error_->setForegroundRole(QPalette::BrightText);
  error_->hide();

  title_ = wrapped_label();
  QFont bold = title_->font();
  bold.setBold(true);
  title_->setFont(bold);
  source_ = wrapped_label();
  licence_name_ = wrapped_label();
  licence_name_->setFont(bold);
  licence_ = new QPlainTextEdit;
  licence_->setObjectName(QStringLiteral("get_licence"));
  licence_->setReadOnly(true);
  licence_->setAccessibleName(tr("Licence"));
  licence_->setTabChangesFocus(true);
  licence_->setMinimumHeight(110);
  accept_ = new QCheckBox(tr("I have read the licence and accept it"));
  accept_->setObjectName(QStringLiteral("get_accept"));
  details_ = new QWidget;
  auto* details = new QVBoxLayout(details_);
  details->setContentsMargins(0, 6, 0, 0);
  details->addWidget(title_);
  details->addWidget(source_);
  details->addSpacing(6);
  details->addWidget(licence_name_);
  details->addWidget(licence_, 1);
  details->addWidget(accept_);

  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Cancel);
  get_ = buttons->addButton(tr("Get"), QDialogButtonBox::AcceptRole);
  get_->setObjectName(QStringLiteral("get_button"));
  auto* layout = new QVBoxLayout(this);
  layout->addLayout(line);
  layout->addWidget(error_);
  layout->addWidget(details_, 1);
  layout->addWidget(buttons);
  setMinimumWidth(kWidth);

  connect(what_, &QLineEdit::textEdited, this, &GetModelDialog::forget_plan);
  connect(look_up_, &QPushButton::clicked, this, &GetModelDialog::look_up_typed);
  connect(accept_, &QCheckBox::toggled, this, &GetModelDialog::refresh_button);
  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
  connect(get_, &QPushButton::clicked, this, [this] {
    if (plan_) Q_EMIT get(*plan_, accept_->isChecked());
  });
  connect(&fetch_, &ModelFetch::planned, this, &GetModelDialog::show_plan);
  connect(&fetch_, &ModelFetch::failed, this, [this](const QString& sentence) {
    refresh_button();
    show_error(sentence);
  });
  forget_plan();
}

void GetModelDialog::look_up(const QString& what) {
  what_->setText(what);
  look_up_typed();
}

void GetModelDialog::look_up_typed() {
  forget_plan();
  const QString what = what_->text().trimmed();
  if (what.isEmpty() || fetch_.running()) return;
  fetch_.plan({.what = what.toStdString(), .file = {}, .sha256 = {}, .name = {}});
  refresh_button();
}

void GetModelDialog::forget_plan() {
  plan_.reset();
  details_->hide();
  error_->hide();
  refresh_button();
}

void GetModelDialog::show_error(const QString& sentence) {
  error_->setText(breakable(sentence));
  error_->setVisible(!sentence.isEmpty());
}

void GetModelDialog::show_plan(const FetchPlan& plan) {
  refresh_button();
  if (plan.installed) return show_error(tr("%1 is installed already.").arg(to_text(plan.name)));
  plan_ = plan;
  const auto n_bytes = plan.n_bytes();
  QString size = n_bytes ? size_text(*n_bytes) : tr("size not known yet");
  if (plan.files.size() > 1) size += tr(" in %1 files").arg(plan.files.size());
  title_->setText(to_text(plan.title));
  source_->setText(breakable(tr("%1, from %2").arg(size, to_text(plan.source))));
  licence_name_->setText(tr("Licence: %1").arg(to_text(plan.licence.name)));
  licence_->setPlainText(to_text(plan.licence.text));
  accept_->setChecked(false);
  accept_->setVisible(plan.licence.must_be_accepted);
  details_->show();
  resize(width(), std::max(height(), kHeightWithPlan));
  refresh_button();
  (plan.licence.must_be_accepted ? static_cast<QWidget*>(accept_) : get_)->setFocus();
}

void GetModelDialog::refresh_button() {
  const bool asking = fetch_.running();
  look_up_->setText(asking ? tr("Looking…") : tr("Look up"));
  look_up_->setEnabled(!asking && !what_->text().trimmed().isEmpty());
  what_->setReadOnly(asking);
  get_->setEnabled(plan_ && (!plan_->licence.must_be_accepted || accept_->isChecked()));
  get_->setDefault(plan_.has_value());
}

// Return in the line looks up what it says; with a plan it presses Get, as in every dialog.
void GetModelDialog::keyPressEvent(QKeyEvent* event) {
  const bool is_return = event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter;
  if (is_return && !plan_) return look_up_typed();
  QDialog::keyPressEvent(event);
}

}  // namespace orrery

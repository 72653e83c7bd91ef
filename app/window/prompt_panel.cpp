#include "app/window/prompt_panel.h"

#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QGridLayout>
#include <QKeyEvent>
#include <QLineEdit>
#include <QMenu>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QRegularExpressionValidator>
#include <QSettings>
#include <QSpinBox>
#include <QToolButton>
#include <QWidgetAction>

namespace orrery {
namespace {

QDoubleSpinBox* number_box(double low, double high, double step, double value, const QString& tip) {
  auto* box = new QDoubleSpinBox;
  box->setRange(low, high);
  box->setSingleStep(step);
  box->setDecimals(2);
  box->setValue(value);
  box->setToolTip(tip);
  return box;
}

QSpinBox* count_box(int low, int high, int value, const QString& tip) {
  auto* box = new QSpinBox;
  box->setRange(low, high);
  box->setValue(value);
  box->setToolTip(tip);
  return box;
}

QString short_number(double value) { return QString::number(value, 'g', 4); }

}  // namespace

SamplerForm::SamplerForm(QWidget* parent) : QWidget(parent) {
  const QSettings stored;
  const SamplerSettings usual;
  const auto number = [&stored](const char* key, double fallback) {
    return stored.value(QStringLiteral("sampler/") + QLatin1String(key), fallback).toDouble();
  };
  temperature_ = number_box(0, 10, 0.1, number("temperature", usual.temperature),
                            tr("0 takes the likeliest token; higher is more varied"));
  top_k_ =
      count_box(0, 100000, static_cast<int>(number("top_k", usual.top_k)), tr("keep the k likeliest; 0 keeps all"));
  top_p_ = number_box(0, 1, 0.05, number("top_p", usual.top_p),
                      tr("keep the fewest tokens whose probabilities reach p; 1 keeps all"));
  min_p_ = number_box(0, 1, 0.01, number("min_p", usual.min_p),
                      tr("keep tokens at least this likely relative to the likeliest; 0 keeps all"));
  repeat_penalty_ = number_box(0.1, 10, 0.05, number("repeat_penalty", usual.repeat_penalty),
                               tr("above 1, recent tokens become less likely; 1 is off"));
  seed_ = new QLineEdit(stored.value(QStringLiteral("sampler/seed"), QStringLiteral("0")).toString());
  seed_->setValidator(new QRegularExpressionValidator(QRegularExpression(QStringLiteral("[0-9]{1,19}")), seed_));
  seed_->setToolTip(tr("one seed, one text"));
  n_new_tokens_ =
      count_box(1, 1000000, static_cast<int>(number("n_new_tokens", 256)), tr("the run ends after this many"));

  auto* form = new QFormLayout(this);
  form->addRow(tr("Temperature"), temperature_);
  form->addRow(tr("Top-k"), top_k_);
  form->addRow(tr("Top-p"), top_p_);
  form->addRow(tr("Min-p"), min_p_);
  form->addRow(tr("Repeat penalty"), repeat_penalty_);
  form->addRow(tr("Seed"), seed_);
  form->addRow(tr("New tokens"), n_new_tokens_);
  for (QDoubleSpinBox* box : {temperature_, top_p_, min_p_, repeat_penalty_}) {
    connect(box, &QDoubleSpinBox::valueChanged, this, &SamplerForm::changed);
  }
  for (QSpinBox* box : {top_k_, n_new_tokens_}) connect(box, &QSpinBox::valueChanged, this, &SamplerForm::changed);
  connect(seed_, &QLineEdit::textChanged, this, &SamplerForm::changed);
}

SamplerSettings SamplerForm::settings() const {
  SamplerSettings settings;
  settings.temperature = temperature_->value();
  settings.top_k = top_k_->value();
  settings.top_p = top_p_->value();
  settings.min_p = min_p_->value();
  settings.repeat_penalty = repeat_penalty_->value();
  settings.seed = seed_->text().toULongLong();
  return settings;
}

int64_t SamplerForm::n_new_tokens() const { return n_new_tokens_->value(); }

void SamplerForm::set(const SamplerSettings& settings, int64_t n_new_tokens) {
  temperature_->setValue(settings.temperature);
  top_k_->setValue(settings.top_k);
  top_p_->setValue(settings.top_p);
  min_p_->setValue(settings.min_p);
  repeat_penalty_->setValue(settings.repeat_penalty);
  seed_->setText(QString::number(settings.seed));
  n_new_tokens_->setValue(static_cast<int>(n_new_tokens));
}

QString SamplerForm::summary() const {
  const SamplerSettings now = settings();
  QStringList parts;
  if (now.temperature <= 0) {
    parts << tr("greedy");
  } else {
    parts << tr("T %1").arg(short_number(now.temperature));
    if (now.top_k > 0) parts << tr("top-k %1").arg(now.top_k);
    if (now.top_p < 1) parts << tr("top-p %1").arg(short_number(now.top_p));
    if (now.min_p > 0) parts << tr("min-p %1").arg(short_number(now.min_p));
    parts << tr("seed %1").arg(now.seed);
  }
  if (now.repeat_penalty != 1) parts << tr("penalty %1").arg(short_number(now.repeat_penalty));
  parts << tr("%1 tokens").arg(n_new_tokens());
  return parts.join(QStringLiteral(" · "));
}

void SamplerForm::save() const {
  QSettings stored;
  const SamplerSettings now = settings();
  stored.setValue(QStringLiteral("sampler/temperature"), now.temperature);
  stored.setValue(QStringLiteral("sampler/top_k"), now.top_k);
  stored.setValue(QStringLiteral("sampler/top_p"), now.top_p);
  stored.setValue(QStringLiteral("sampler/min_p"), now.min_p);
  stored.setValue(QStringLiteral("sampler/repeat_penalty"), now.repeat_penalty);
  stored.setValue(QStringLiteral("sampler/seed"), seed_->text());
  stored.setValue(QStringLiteral("sampler/n_new_tokens"), n_new_tokens_->value());
}

PromptPanel::PromptPanel(QWidget* parent) : QWidget(parent) {
  edit_ = new QPlainTextEdit;
  edit_->setObjectName(QStringLiteral("prompt"));
  edit_->setAccessibleName(tr("Prompt"));
  edit_->setTabChangesFocus(true);
  edit_->installEventFilter(this);

  generate_ = new QPushButton(tr("Generate"));
  generate_->setObjectName(QStringLiteral("generate"));
  generate_->setToolTip(tr("Start a new run from this prompt (Ctrl+Return)"));
  generate_->setFocusPolicy(Qt::TabFocus);  // a click leaves Space to the views
  connect(generate_, &QPushButton::clicked, this, &PromptPanel::generate);

  chat_ = new QToolButton;
  chat_->setText(tr("Chat: off"));
  chat_->setCheckable(true);
  connect(chat_, &QToolButton::toggled, this,
          [this](bool on) { chat_->setText(on ? tr("Chat: on") : tr("Chat: off")); });
  chat_->setObjectName(QStringLiteral("chat"));
  chat_->setFocusPolicy(Qt::TabFocus);

  sampler_ = new SamplerForm;
  sampling_ = new QToolButton;
  sampling_->setObjectName(QStringLiteral("sampling"));
  sampling_->setToolTip(tr("How each next token is drawn"));
  sampling_->setPopupMode(QToolButton::InstantPopup);
  sampling_->setToolButtonStyle(Qt::ToolButtonTextOnly);
  sampling_->setText(sampler_->summary());
  auto* menu = new QMenu(sampling_);
  auto* form = new QWidgetAction(menu);
  form->setDefaultWidget(sampler_);
  menu->addAction(form);
  sampling_->setMenu(menu);
  connect(sampler_, &SamplerForm::changed, this, [this] {
    sampling_->setText(sampler_->summary());
    sampler_->save();
  });

  auto* layout = new QGridLayout(this);
  layout->setContentsMargins(6, 6, 6, 4);
  layout->setHorizontalSpacing(8);
  layout->setVerticalSpacing(4);
  layout->addWidget(edit_, 0, 0, 2, 1);
  layout->addWidget(generate_, 0, 1);
  layout->addWidget(chat_, 0, 2);
  layout->addWidget(sampling_, 1, 1, 1, 2);
  layout->setColumnStretch(0, 1);
  set_model(true, false, QString());
  fit_to_font();
}

void PromptPanel::set_model(bool has_tokenizer, bool has_chat, const QString& no_chat) {
  takes_ids_ = !has_tokenizer;
  edit_->setPlaceholderText(takes_ids_ ? tr("Token ids, separated by commas or spaces: this model has no tokenizer")
                                       : tr("What shall the model go on from?"));
  chat_->setEnabled(has_chat);
  chat_->setToolTip(
      has_chat ? tr("Put the prompt into the model's chat format (ChatML), as the user's message")
               : (no_chat.isEmpty() ? tr("This model has no chat format that Orrery knows") : no_chat.toHtmlEscaped()));
  chat_->setChecked(has_chat);
}

void PromptPanel::set_enabled_to_run(bool enabled) { generate_->setEnabled(enabled); }
void PromptPanel::set_text(const QString& text) { edit_->setPlainText(text); }
QString PromptPanel::text() const { return edit_->toPlainText(); }
void PromptPanel::focus_text() { edit_->setFocus(); }

GenerateRequest PromptPanel::request() const {
  GenerateRequest request;
  request.kind = takes_ids_ ? PromptKind::kTokens : chat_->isChecked() ? PromptKind::kChat : PromptKind::kPrompt;
  request.text = edit_->toPlainText().toStdString();
  request.sampler = sampler_->settings();
  request.n_new_tokens = sampler_->n_new_tokens();
  return request;
}

void PromptPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::FontChange || event->type() == QEvent::StyleChange) fit_to_font();
}

// Three lines; a longer prompt scrolls.
void PromptPanel::fit_to_font() {
  if (edit_ != nullptr) edit_->setFixedHeight(QFontMetrics(font()).lineSpacing() * 3 + 14);
}

bool PromptPanel::eventFilter(QObject* watched, QEvent* event) {
  if (watched == edit_ && event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    const bool is_return = key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter;
    if (is_return && (key->modifiers() & Qt::ControlModifier)) {
      if (generate_->isEnabled()) Q_EMIT generate();
      return true;
    }
    if (key->key() == Qt::Key_Escape) {
      edit_->clearFocus();
      return true;
    }
  }
  return QWidget::eventFilter(watched, event);
}

}  // namespace orrery

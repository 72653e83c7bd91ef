#include "app/window/prompt_panel.h"

#include <QDoubleSpinBox>
#include <QFormLayout>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QKeyEvent>
#include <QLabel>
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
  n_new_tokens_ = count_box(1, 1000000, static_cast<int>(number("n_new_tokens", double{kUsualNewTokens})),
                            tr("the run ends after this many"));

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
  system_ = new QPlainTextEdit;
  system_->setObjectName(QStringLiteral("system"));
  system_->setAccessibleName(tr("System message"));
  system_->setTabChangesFocus(true);
  system_->hide();
  why_ = new QLabel;
  why_->setObjectName(QStringLiteral("no_chat"));
  why_->setTextFormat(Qt::PlainText);
  why_->setWordWrap(true);
  why_->hide();
  build_buttons();
  build_sampling();

  auto* first_row = new QHBoxLayout;
  for (QPushButton* button : {generate_, go_on_, read_, new_chat_}) first_row->addWidget(button);
  auto* second_row = new QHBoxLayout;
  for (QToolButton* button : {chat_, system_switch_, sampling_}) second_row->addWidget(button);
  second_row->addStretch(1);
  auto* layout = new QGridLayout(this);
  layout->setContentsMargins(6, 6, 6, 4);
  layout->setHorizontalSpacing(8);
  layout->setVerticalSpacing(4);
  layout->addWidget(system_, 0, 0, 1, 2);
  layout->addWidget(edit_, 1, 0, 2, 1);
  layout->addLayout(first_row, 1, 1);
  layout->addLayout(second_row, 2, 1);
  layout->addWidget(why_, 3, 0, 1, 2);
  layout->setColumnStretch(0, 1);
  set_model({});
  fit_to_font();
}

void PromptPanel::build_buttons() {
  const auto button = [this](const char* name, const QString& text, void (PromptPanel::*signal)()) {
    auto* made = new QPushButton(text);
    made->setObjectName(QLatin1String(name));
    made->setFocusPolicy(Qt::TabFocus);  // a click leaves Space to the views
    if (signal != nullptr) connect(made, &QPushButton::clicked, this, signal);
    return made;
  };
  generate_ = button("generate", tr("Generate"), &PromptPanel::generate);
  go_on_ = button("go_on", tr("Continue"), &PromptPanel::go_on);
  read_ = button("read", tr("Read…"), &PromptPanel::read);
  new_chat_ = button("new_chat", tr("New chat"), nullptr);
  connect(new_chat_, &QPushButton::clicked, this, [this] {
    starts_anew_ = true;
    refresh();
    focus_text();
  });
  const auto tool = [](const char* name, const QString& text) {
    auto* made = new QToolButton;
    made->setObjectName(QLatin1String(name));
    made->setText(text);
    made->setCheckable(true);
    made->setFocusPolicy(Qt::TabFocus);
    return made;
  };
  chat_ = tool("chat", tr("Chat: off"));
  connect(chat_, &QToolButton::toggled, this, [this] { refresh(); });
  system_switch_ = tool("system_switch", tr("System"));
  connect(system_switch_, &QToolButton::toggled, this, [this](bool on) {
    refresh();
    if (on) system_->setFocus();
  });
}

void PromptPanel::build_sampling() {
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
}

void PromptPanel::set_model(const ModelAbilities& abilities) {
  abilities_ = abilities;
  starts_anew_ = true;
  chat_->setChecked(abilities.has_chat);
  refresh();
}

void PromptPanel::set_state(const PromptState& state) {
  state_ = state;
  refresh();
}

bool PromptPanel::is_next_turn() const {
  return chat_->isChecked() && !starts_anew_ && (state_.running || state_.no_next_turn.isEmpty());
}

// Every control says what it would do, or why it cannot.
void PromptPanel::refresh() {
  const bool chat = chat_->isChecked();
  const bool next_turn = is_next_turn();
  const bool can_run = state_.has_model && !(next_turn && state_.running);
  edit_->setPlaceholderText(!abilities_.has_tokenizer
                                ? tr("Token ids, separated by commas or spaces: this model has no tokenizer")
                            : next_turn ? tr("Write the next message. Enter sends, Shift+Enter begins a line")
                            : chat      ? tr("Write a message. Enter sends, Shift+Enter begins a line")
                                   : tr("What shall the model go on from? Enter generates, Shift+Enter begins a line"));
  generate_->setText(chat ? tr("Send") : tr("Generate"));
  generate_->setEnabled(can_run);
  generate_->setToolTip(!state_.has_model ? tr("No model is loaded yet")
                        : !can_run        ? tr("The answer is still being generated (Esc stops it)")
                        : next_turn       ? tr("Send the next message of this chat (Enter)")
                        : chat            ? tr("Start a new chat with this message (Enter)")
                                          : tr("Start a new run from this prompt (Enter)"));
  const bool can_go_on = state_.has_model && !state_.running && state_.cannot_go_on.isEmpty();
  go_on_->setEnabled(can_go_on);
  go_on_->setToolTip(can_go_on        ? tr("Go on from the last token, in the same run (Ctrl+Shift+Return)")
                     : state_.running ? tr("It is still being generated")
                                      : tr("It cannot go on: %1").arg(state_.cannot_go_on.toHtmlEscaped()));
  read_->setEnabled(state_.has_model);
  read_->setToolTip(state_.has_model
                        ? tr("Let it read a text that you paste, before, while or after it writes (Ctrl+R)")
                        : tr("No model is loaded yet"));
  new_chat_->setVisible(chat);
  new_chat_->setEnabled(next_turn);
  new_chat_->setToolTip(next_turn ? tr("Let the next message begin a new chat") : tr("The next message begins a chat"));
  chat_->setText(chat ? tr("Chat: on") : tr("Chat: off"));
  chat_->setEnabled(abilities_.has_chat);
  chat_->setToolTip(abilities_.has_chat ? tr("Put what is written into the model's chat format, as the user's message")
                                        : abilities_.no_chat.toHtmlEscaped());
  why_->setText(abilities_.no_chat);
  why_->setVisible(!abilities_.has_chat && !abilities_.no_chat.isEmpty());
  const bool can_have_system = chat && !next_turn && abilities_.no_system.isEmpty();
  system_switch_->setVisible(chat);
  system_switch_->setEnabled(can_have_system);
  system_switch_->setToolTip(can_have_system ? tr("Write a system message for the new chat")
                             : next_turn     ? tr("A chat's system message stays as it began")
                                             : tr("This model takes no system message"));
  system_->setPlaceholderText(abilities_.default_system.isEmpty()
                                  ? tr("System message: how the model shall behave")
                                  : tr("System message; the model's own is: %1").arg(abilities_.default_system));
  system_->setVisible(chat && system_switch_->isChecked() && can_have_system);
}

void PromptPanel::run_began() {
  starts_anew_ = false;
  if (chat_->isChecked() && !sent_.isEmpty() && edit_->toPlainText() == sent_) edit_->clear();
  sent_.clear();
  refresh();
}

void PromptPanel::set_text(const QString& text) { edit_->setPlainText(text); }
QString PromptPanel::text() const { return edit_->toPlainText(); }
void PromptPanel::focus_text() { edit_->setFocus(); }

GenerateRequest PromptPanel::request() {
  GenerateRequest request;
  const bool chat = chat_->isChecked();
  request.kind = !abilities_.has_tokenizer ? PromptKind::kTokens : chat ? PromptKind::kChat : PromptKind::kPrompt;
  sent_ = edit_->toPlainText();
  request.text = sent_.toStdString();
  request.go_on = is_next_turn();
  if (system_->isVisibleTo(this) && !system_->toPlainText().isEmpty()) {
    request.system = system_->toPlainText().toStdString();
  }
  request.sampler = sampler_->settings();
  request.n_new_tokens = sampler_->n_new_tokens();
  return request;
}

GenerateRequest PromptPanel::go_on_request() const {
  GenerateRequest request;
  request.go_on = true;
  request.n_new_tokens = sampler_->n_new_tokens();
  return request;
}

void PromptPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::FontChange || event->type() == QEvent::StyleChange) fit_to_font();
}

// Three lines, two for the system message; longer texts scroll.
void PromptPanel::fit_to_font() {
  if (edit_ == nullptr || system_ == nullptr) return;
  edit_->setFixedHeight(QFontMetrics(font()).lineSpacing() * 3 + 14);
  system_->setFixedHeight(QFontMetrics(font()).lineSpacing() * 2 + 14);
}

bool PromptPanel::eventFilter(QObject* watched, QEvent* event) {
  if (watched == edit_ && event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    const bool is_return = key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter;
    const bool shift = key->modifiers() & Qt::ShiftModifier;
    if (is_return && shift && (key->modifiers() & Qt::ControlModifier)) {
      if (go_on_->isEnabled()) Q_EMIT go_on();
      return true;
    }
    if (is_return && !shift) {
      if (generate_->isEnabled()) Q_EMIT generate();
      return true;
    }
    if (key->key() == Qt::Key_Escape) {
      if (state_.running) {
        Q_EMIT stop();
      } else {
        edit_->clearFocus();
      }
      return true;
    }
  }
  return QWidget::eventFilter(watched, event);
}

}  // namespace orrery

#include "app/window/preferences_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QFormLayout>
#include <QGroupBox>
#include <QHBoxLayout>
#include <QPushButton>
#include <QSpinBox>
#include <QVBoxLayout>

#include "app/backend_choice.h"
#include "app/window/prompt_panel.h"

namespace orrery {
namespace {

QString to_qstring(std::string_view text) {
  return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

QSpinBox* number(const char* name, int low, int high, int step, const QString& suffix, const QString& tip) {
  auto* box = new QSpinBox;
  box->setObjectName(QLatin1String(name));
  box->setRange(low, high);
  box->setSingleStep(step);
  box->setSuffix(suffix);
  box->setToolTip(tip);
  box->setKeyboardTracking(false);  // a number that is half typed changes nothing
  return box;
}

QComboBox* choice(const char* name) {
  auto* box = new QComboBox;
  box->setObjectName(QLatin1String(name));
  return box;
}

}  // namespace

PreferencesDialog::PreferencesDialog(const Preferences& now, SamplerForm& sampler, QWidget* parent)
    : QDialog(parent), prompt_sampler_(sampler) {
  setObjectName(QStringLiteral("preferences"));
  setWindowTitle(tr("Preferences"));
  auto* left = new QVBoxLayout;
  left->addWidget(build_appearance());
  left->addWidget(build_recording());
  left->addStretch(1);
  auto* right = new QVBoxLayout;
  right->addWidget(build_generating(sampler));
  right->addStretch(1);
  auto* columns = new QHBoxLayout;
  columns->addLayout(left, 1);
  columns->addLayout(right, 1);
  auto* buttons = new QDialogButtonBox(QDialogButtonBox::RestoreDefaults | QDialogButtonBox::Close);
  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
  connect(buttons->button(QDialogButtonBox::RestoreDefaults), &QPushButton::clicked, this,
          &PreferencesDialog::restore_defaults);
  auto* layout = new QVBoxLayout(this);
  layout->addLayout(columns, 1);
  layout->addWidget(buttons);
  show_values(now);
  const auto chosen = [this] {
    if (!filling_) Q_EMIT changed();
  };
  for (QComboBox* box : {theme_, level_, backend_}) connect(box, &QComboBox::activated, this, chosen);
  for (QSpinBox* box : {type_percent_, history_mib_, sessions_gib_}) {
    connect(box, &QSpinBox::valueChanged, this, chosen);
  }
  connect(record_, &QCheckBox::toggled, this, chosen);
}

QWidget* PreferencesDialog::build_appearance() {
  theme_ = choice("preference_theme");
  for (const ThemeKind kind : {ThemeKind::kLight, ThemeKind::kDark, ThemeKind::kProjector}) {
    theme_->addItem(to_qstring(theme_name(kind)), static_cast<int>(kind));
  }
  type_percent_ = number("preference_type", 75, 200, 5, tr(" %"), tr("How large text and labels are"));
  auto* group = new QGroupBox(tr("Appearance"));
  auto* form = new QFormLayout(group);
  form->addRow(tr("&Theme"), theme_);
  form->addRow(tr("Type si&ze"), type_percent_);
  return group;
}

QWidget* PreferencesDialog::build_recording() {
  record_ = new QCheckBox(tr("&Record every run"));
  record_->setObjectName(QStringLiteral("preference_record"));
  record_->setToolTip(tr("Into the folder of unnamed sessions; saving gives a session a name"));
  level_ = choice("preference_level");
  level_->addItem(tr("light: scalars"), static_cast<int>(Level::kLight));
  level_->addItem(tr("standard: and summaries"), static_cast<int>(Level::kStandard));
  level_->addItem(tr("full: and exact rows"), static_cast<int>(Level::kFull));
  level_->setToolTip(
      tr("What is measured of the next runs, and so can be shown of them: scalars of tokens, layers and heads; "
         "summaries of attention as well; exact rows and the lens, too, which is much"));
  sessions_gib_ = number("preference_sessions", 1, 4096, 1, tr(" GiB"),
                         tr("The oldest unnamed sessions are removed when together they pass this"));
  history_mib_ =
      number("preference_history", 64, 65536, 64, tr(" MiB"),
             tr("What the window holds of a run, the maps on the screen with it; the rest is read from the session "
                "when it is looked at"));
  backend_ = choice("preference_backend");
  backend_->addItem(tr("automatic"), QString());
  for (const BackendKind& kind : backend_kinds()) backend_->addItem(to_qstring(kind.title), to_qstring(kind.name));
  backend_->setToolTip(tr("Where the next models compute"));
  for (QComboBox* box : {level_, backend_}) {
    box->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    box->setMinimumContentsLength(20);
  }
  auto* group = new QGroupBox(tr("Recording and memory"));
  auto* form = new QFormLayout(group);
  form->addRow(record_);
  form->addRow(tr("&Level"), level_);
  form->addRow(tr("&Unnamed sessions"), sessions_gib_);
  form->addRow(tr("&Memory for a run"), history_mib_);
  form->addRow(tr("&Backend"), backend_);
  return group;
}

QWidget* PreferencesDialog::build_generating(const SamplerForm& sampler) {
  sampler_ = new SamplerForm;
  sampler_->set(sampler.settings(), sampler.n_new_tokens());
  connect(sampler_, &SamplerForm::changed, this,
          [this] { prompt_sampler_.set(sampler_->settings(), sampler_->n_new_tokens()); });
  auto* group = new QGroupBox(tr("Generating"));
  auto* layout = new QVBoxLayout(group);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(sampler_);
  return group;
}

void PreferencesDialog::show_values(const Preferences& values) {
  filling_ = true;
  theme_->setCurrentIndex(theme_->findData(static_cast<int>(values.theme)));
  type_percent_->setValue(values.type_percent);
  level_->setCurrentIndex(level_->findData(static_cast<int>(values.level)));
  record_->setChecked(values.record);
  history_mib_->setValue(values.history_mib);
  sessions_gib_->setValue(values.sessions_gib);
  backend_->setCurrentIndex(std::max(backend_->findData(to_qstring(values.backend)), 0));
  filling_ = false;
}

Preferences PreferencesDialog::preferences() const {
  Preferences values;
  values.theme = static_cast<ThemeKind>(theme_->currentData().toInt());
  values.type_percent = type_percent_->value();
  values.level = static_cast<Level>(level_->currentData().toInt());
  values.record = record_->isChecked();
  values.history_mib = history_mib_->value();
  values.sessions_gib = sessions_gib_->value();
  values.backend = backend_->currentData().toString().toStdString();
  return values;
}

void PreferencesDialog::restore_defaults() {
  show_values({});
  sampler_->set({}, kUsualNewTokens);
  Q_EMIT changed();
}

}  // namespace orrery

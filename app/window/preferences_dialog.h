// PreferencesDialog: the preferences as a form; every change holds at once.
#pragma once

#include <QDialog>

#include "app/window/preferences.h"

class QCheckBox;
class QComboBox;
class QSpinBox;

namespace orrery {

class SamplerForm;

class PreferencesDialog final : public QDialog {
  Q_OBJECT
 public:
  // `sampler`: the prompt's form, which this one shows and changes; outlives the dialog.
  PreferencesDialog(const Preferences& now, SamplerForm& sampler, QWidget* parent);

  Preferences preferences() const;

 Q_SIGNALS:
  void changed();

 private:
  QWidget* build_appearance();
  QWidget* build_recording();
  QWidget* build_generating(const SamplerForm& sampler);
  void show_values(const Preferences& values);
  void restore_defaults();

  SamplerForm& prompt_sampler_;
  bool filling_ = false;  // values are being shown, not chosen
  QComboBox* theme_ = nullptr;
  QSpinBox* type_percent_ = nullptr;
  QComboBox* level_ = nullptr;
  QCheckBox* record_ = nullptr;
  QSpinBox* history_mib_ = nullptr;
  QSpinBox* sessions_gib_ = nullptr;
  QComboBox* backend_ = nullptr;
  SamplerForm* sampler_ = nullptr;
};

}  // namespace orrery

// PromptPanel: where the user writes what the model goes on from, and chooses how tokens are drawn.
#pragma once

#include <QWidget>

#include "app/window/engine_thread.h"

class QDoubleSpinBox;
class QLineEdit;
class QPlainTextEdit;
class QPushButton;
class QSpinBox;
class QToolButton;

namespace orrery {

// The sampler's settings as a form; remembered from one start to the next.
class SamplerForm final : public QWidget {
  Q_OBJECT
 public:
  explicit SamplerForm(QWidget* parent = nullptr);
  SamplerSettings settings() const;
  int64_t n_new_tokens() const;
  void set(const SamplerSettings& settings, int64_t n_new_tokens);
  QString summary() const;  // "T 0.8 · top-k 40 · top-p 0.95 · 128 tokens"
  void save() const;

 Q_SIGNALS:
  void changed();

 private:
  QDoubleSpinBox* temperature_;
  QSpinBox* top_k_;
  QDoubleSpinBox* top_p_;
  QDoubleSpinBox* min_p_;
  QDoubleSpinBox* repeat_penalty_;
  QLineEdit* seed_;
  QSpinBox* n_new_tokens_;
};

class PromptPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit PromptPanel(QWidget* parent = nullptr);

  // What the open model can take; chat is on where it can. `no_chat` says why it cannot.
  void set_model(bool has_tokenizer, bool has_chat, const QString& no_chat);
  void set_enabled_to_run(bool enabled);
  void set_text(const QString& text);
  QString text() const;
  SamplerForm& sampler() { return *sampler_; }
  GenerateRequest request() const;  // without a session path
  void focus_text();

 Q_SIGNALS:
  void generate();

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;
  void changeEvent(QEvent* event) override;

 private:
  void fit_to_font();
  QPlainTextEdit* edit_ = nullptr;
  QPushButton* generate_;
  QToolButton* chat_;
  QToolButton* sampling_;
  SamplerForm* sampler_;
  bool takes_ids_ = false;
};

}  // namespace orrery

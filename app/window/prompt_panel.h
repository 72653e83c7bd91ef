// PromptPanel: where the user writes what the model goes on from, turn after turn in a chat, and chooses how tokens are
// drawn.
#pragma once

#include <QWidget>

#include "app/window/engine_thread.h"

class QDoubleSpinBox;
class QLabel;
class QLineEdit;
class QPlainTextEdit;
class QPushButton;
class QSpinBox;
class QToolButton;

namespace orrery {

inline constexpr int64_t kUsualNewTokens = 256;

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

// What can be done now; a sentence where something cannot.
struct PromptState {
  bool has_model = false;  // loaded, so that a run can start
  bool running = false;
  QString cannot_go_on;  // why the last run cannot go on from its last token; empty where it can
  QString no_next_turn;  // why it cannot go on with a message
};

class PromptPanel final : public QWidget {
  Q_OBJECT
 public:
  explicit PromptPanel(QWidget* parent = nullptr);

  struct ModelAbilities {
    bool has_tokenizer = true;
    bool has_chat = false;
    QString no_chat;         // why it has no chat; shown beside the disabled switch too
    QString no_system;       // why a chat takes no system message
    QString default_system;  // what stands in for one
  };
  // What the open model can take; chat is on where it can. Ends the chat that the panel was in.
  void set_model(const ModelAbilities& abilities);
  void set_state(const PromptState& state);
  // The run that was asked for has begun: what was sent as a message leaves the box.
  void run_began();
  void set_text(const QString& text);
  QString text() const;
  SamplerForm& sampler() { return *sampler_; }
  // What the user asks for now, without a session path: the chat's next message where there is a chat to go on with.
  GenerateRequest request();
  GenerateRequest go_on_request() const;  // from the last token
  void focus_text();

 Q_SIGNALS:
  void generate();
  void go_on();
  void stop();
  void read();  // the user has a text that shall be read

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;
  void changeEvent(QEvent* event) override;

 private:
  void build_buttons();
  void build_sampling();
  void fit_to_font();
  void refresh();
  bool is_next_turn() const;
  QPlainTextEdit* edit_ = nullptr;
  QPlainTextEdit* system_ = nullptr;
  QPushButton* generate_ = nullptr;
  QPushButton* go_on_ = nullptr;
  QPushButton* new_chat_ = nullptr;
  QPushButton* read_ = nullptr;
  QToolButton* chat_ = nullptr;
  QToolButton* system_switch_ = nullptr;
  QToolButton* sampling_ = nullptr;
  QLabel* why_ = nullptr;  // why there is no chat
  SamplerForm* sampler_ = nullptr;
  ModelAbilities abilities_;
  PromptState state_;
  bool starts_anew_ = true;  // the next message begins a chat
  QString sent_;             // the message that was sent and has not begun
};

}  // namespace orrery

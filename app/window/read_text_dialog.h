// ReadTextDialog: "Read this…": a text that the model is made to read, token by token as it stands, measured and
// recorded like what it writes.
#pragma once

#include <QDialog>
#include <memory>

#include "app/window/engine_thread.h"

class QCheckBox;
class QLabel;
class QPlainTextEdit;
class QPushButton;
class QRadioButton;
class QSpinBox;

namespace orrery {

class ReadTextDialog final : public QDialog {
  Q_OBJECT
 public:
  struct Now {
    std::shared_ptr<const Tokenizer> tokenizer;  // null: ids are read
    QString cannot_continue;                     // why the run on the screen cannot read it; empty where it can
    int64_t n_new_tokens = 0;                    // what the prompt's settings say
  };
  ReadTextDialog(const Now& now, QWidget* parent);

  // What the user asks for, without a sampler and a session.
  GenerateRequest request() const;

 private:
  void refresh();
  const Now now_;
  QPlainTextEdit* edit_;
  QLabel* count_;
  QRadioButton* go_on_;
  QRadioButton* anew_;
  QCheckBox* generate_;
  QSpinBox* n_new_tokens_;
  QPushButton* read_;
};

}  // namespace orrery

// A window with keys, clicks and dialogs answered: what the tests of the frame around the views share.
#pragma once

#include <QAction>
#include <QDialog>
#include <QDockWidget>
#include <QPlainTextEdit>
#include <QTest>
#include <QTimer>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/window/appearance.h"
#include "sessions/session_reader.h"
#include "tests/app/window/window_fixture.h"

namespace orrery::testing {

using Mode = SessionController::Mode;

class FrameTest : public WindowTest {
 protected:
  void TearDown() override {
    window_.reset();
    set_type_scale(100);
    WindowTest::TearDown();
  }
  void open(const std::string& path) {
    window_ = std::make_unique<MainWindow>(WindowOptions{.file = path, .prompt = {}, .generate = false, .threads = 1});
    window_->show();
    QApplication::setActiveWindow(window_.get());
  }
  SessionController& controller() { return window_->controller(); }
  NoteBook& notes() { return controller().notes(); }

  void open_model(const char* name = "tiny-text.q8_0.gguf") {
    open(model_path(name));
    ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr; })) << window_->error_text().toStdString();
    run_events_for(50);
  }
  bool ended() {
    return wait_until([this] { return !controller().running() && !controller().waiting_for_run(); });
  }
  void generate(int64_t n, int delay_ms = 0) {
    GenerateRequest request;
    request.text = "Once upon a time there was a";
    request.n_new_tokens = n;
    request.sampler.temperature = 0;
    if (delay_ms > 0) request.after_token = takes_ms(delay_ms);
    const uint64_t version = controller().history().version();
    controller().generate(std::move(request));
    ASSERT_TRUE(
        wait_until([&] { return controller().history().version() != version && controller().mode() == Mode::kLive; }));
  }
  void finish_run(int64_t n) {
    generate(n);
    ASSERT_TRUE(ended()) << window_->error_text().toStdString();
    run_events_for(150);
  }
  int64_t step() { return resolve(controller().history(), controller().view()).step; }

  void key(Qt::Key key, Qt::KeyboardModifiers modifiers = Qt::NoModifier) {
    QApplication::setActiveWindow(window_.get());
    window_->setFocus();
    QTest::keyClick(window_.get(), key, modifiers);
  }
  template <typename Widget>
  Widget* find(const char* name) {
    return window_->findChild<Widget*>(QLatin1String(name));
  }
  QAction* action(const QString& text) {
    for (QAction* one : window_->findChildren<QAction*>()) {
      if (one->text().remove(QLatin1Char('&')).startsWith(text)) return one;
    }
    return nullptr;
  }
  bool visible(const char* dock) { return find<QDockWidget>((std::string("dock_") + dock).c_str())->isVisible(); }
  // Answers the dialog that the next doings open; dialogs run event loops of their own.
  void when_dialog(const char* name, const std::function<void(QDialog*)>& answer) {
    auto* clock = new QTimer(window_.get());
    auto n_looks = std::make_shared<int>(0);
    QObject::connect(clock, &QTimer::timeout, clock, [this, clock, name, answer, n_looks] {
      auto* dialog = window_->findChild<QDialog*>(QLatin1String(name));
      const bool late = ++*n_looks > 300;
      if ((dialog == nullptr || !dialog->isVisible()) && !late) return;
      clock->stop();
      clock->deleteLater();
      if (dialog == nullptr || !dialog->isVisible()) {
        ADD_FAILURE() << "no dialog " << name;
        return;
      }
      QApplication::setActiveWindow(dialog);  // there is no window manager
      answer(dialog);
      // One that is still open would hold up the test for good.
      QTimer::singleShot(8000, dialog, [dialog, name] {
        if (!dialog->isVisible()) return;
        ADD_FAILURE() << name << " was not closed by its answer";
        dialog->reject();
      });
    });
    clock->start(20);
  }
  void write_note(const char* text) {
    when_dialog("note_dialog", [text](QDialog* dialog) {
      auto* edit = dialog->findChild<QPlainTextEdit*>(QStringLiteral("note_text"));
      QTest::keyClicks(edit, QLatin1String(text));
      QTest::keyClick(edit, Qt::Key_Return, Qt::ControlModifier);
    });
    key(Qt::Key_N);
  }
  std::vector<Note> stored_notes(int64_t run = 1) {
    EXPECT_TRUE(wait_until([this] { return !notes().busy(); }));
    const auto reader = SessionReader::open(controller().session_path());
    EXPECT_TRUE(reader) << reader.error().message;
    return (*reader)->notes(run).value();
  }

  std::unique_ptr<MainWindow> window_;
};

}  // namespace orrery::testing

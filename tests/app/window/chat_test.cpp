// The prompt panel as a chat: turns sent with the keyboard, stopping, going on, starting anew.
#include <QKeyEvent>
#include <QLabel>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QToolButton>
#include <fstream>

#include "app/window/session_files.h"
#include "sessions/session_reader.h"
#include "tests/app/window/window_fixture.h"

namespace orrery {
namespace {

using testing::model_path;
using testing::run_events_for;
using testing::wait_until;

class ChatWindowTest : public testing::WindowTest {
 protected:
  void TearDown() override {
    window_.reset();
    WindowTest::TearDown();
  }
  void open(const std::string& path) {
    window_ = std::make_unique<MainWindow>(WindowOptions{.file = path, .prompt = {}, .generate = false, .threads = 1});
    window_->show();
    ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr; })) << window_->error_text().toStdString();
    run_events_for(50);
    SamplerSettings greedy;
    greedy.temperature = 0;
    window_->prompt().sampler().set(greedy, 12);
  }
  SessionController& controller() { return window_->controller(); }
  template <typename Widget>
  Widget* find(const char* name) {
    return window_->findChild<Widget*>(name);
  }
  void press(int key, Qt::KeyboardModifiers modifiers = Qt::NoModifier) {
    QKeyEvent event(QEvent::KeyPress, key, modifiers, key == Qt::Key_Return ? "\r" : "");
    QApplication::sendEvent(find<QPlainTextEdit>("prompt"), &event);
  }
  bool ended() {
    return wait_until([this] { return !controller().running() && !controller().waiting_for_run(); });
  }
  bool began(int64_t n_tokens) {
    return wait_until([&] { return controller().history().n_steps() > n_tokens; });
  }

  std::unique_ptr<MainWindow> window_;
};

TEST_F(ChatWindowTest, EnterSendsTurnAfterTurnIntoOneRun) {
  open(model_path("tiny-text.q8_0.gguf"));
  auto* edit = find<QPlainTextEdit>("prompt");
  window_->prompt().set_text("Hello");
  press(Qt::Key_Return, Qt::ShiftModifier);
  EXPECT_EQ(edit->toPlainText().count('\n'), 1) << "Shift+Enter begins a line";
  EXPECT_EQ(controller().mode(), SessionController::Mode::kEmpty);
  window_->prompt().set_text("Hello");
  press(Qt::Key_Return);
  ASSERT_TRUE(began(0)) << window_->error_text().toStdString();
  ASSERT_TRUE(ended());
  EXPECT_EQ(edit->toPlainText(), "") << "what was sent leaves the box";
  const int64_t n_first = controller().history().n_steps();
  const std::string path = controller().session_path();
  EXPECT_EQ(SessionReader::open(path).value()->run(0)->end, RunEnd::kComplete) << "whole between turns";

  window_->prompt().set_text("And then?");
  press(Qt::Key_Return);
  ASSERT_TRUE(began(n_first)) << window_->error_text().toStdString();
  ASSERT_TRUE(ended());
  EXPECT_EQ(controller().session_path(), path);
  EXPECT_EQ(recorded_sessions().size(), 1u);
  const auto reader = SessionReader::open(path).value();
  EXPECT_EQ(reader->runs()->size(), 1u);
  EXPECT_TRUE(reader->gaps(1)->empty());
  EXPECT_EQ(static_cast<int64_t>(reader->tokens(1)->size()), controller().history().n_steps());
  EXPECT_EQ(reader->recorded_steps(*find_probe("output.entropy"), 1)->size(), 1u) << "one range without a hole";
  EXPECT_EQ(reader->run(0)->prompt.turns, std::vector<std::string>{"And then?"});

  find<QPushButton>("new_chat")->click();
  window_->prompt().set_text("Another");
  press(Qt::Key_Return);
  EXPECT_TRUE(wait_until([&] { return controller().session_path() != path; }));
  ASSERT_TRUE(ended());
  EXPECT_EQ(recorded_sessions().size(), 2u);
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(ChatWindowTest, EscStopsAndContinueGoesOnInTheSameRun) {
  open(model_path("tiny-text.q8_0.gguf"));
  find<QToolButton>("chat")->setChecked(false);
  controller().set_live_rate(100);
  SamplerSettings greedy;
  greedy.temperature = 0;
  window_->prompt().sampler().set(greedy, 400);
  window_->prompt().set_text("Once upon a time there was a");
  auto* go_on = find<QPushButton>("go_on");
  EXPECT_FALSE(go_on->isEnabled());
  EXPECT_FALSE(go_on->toolTip().isEmpty());
  press(Qt::Key_Return);
  ASSERT_TRUE(began(12));
  EXPECT_FALSE(go_on->isEnabled());
  press(Qt::Key_Escape);
  ASSERT_TRUE(ended());
  run_events_for(50);
  const int64_t n_before = controller().history().n_steps();
  const std::string path = controller().session_path();
  EXPECT_EQ(SessionReader::open(path).value()->run(0)->end, RunEnd::kStopped);
  ASSERT_TRUE(go_on->isEnabled()) << go_on->toolTip().toStdString();
  window_->prompt().sampler().set(greedy, 10);
  go_on->click();
  ASSERT_TRUE(began(n_before));
  ASSERT_TRUE(ended());
  EXPECT_EQ(controller().history().n_steps(), n_before + 10);
  EXPECT_EQ(controller().session_path(), path);
  const auto reader = SessionReader::open(path).value();
  EXPECT_EQ(reader->run(0)->end, RunEnd::kComplete);
  EXPECT_EQ(static_cast<int64_t>(reader->tokens(1)->size()), n_before + 10);
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(ChatWindowTest, GoesOnUnderTheNameThatItWasSavedBy) {
  open(model_path("tiny-text.q8_0.gguf"));
  window_->prompt().set_text("Hello");
  press(Qt::Key_Return);
  ASSERT_TRUE(began(0));
  ASSERT_TRUE(ended());
  controller().save_as(file("kept.orrery"));
  ASSERT_TRUE(wait_until([this] { return controller().session_path() == file("kept.orrery"); }));
  const int64_t n_first = controller().history().n_steps();
  window_->prompt().set_text("More");
  press(Qt::Key_Return);
  ASSERT_TRUE(began(n_first)) << window_->error_text().toStdString();
  ASSERT_TRUE(ended());
  EXPECT_TRUE(recorded_sessions().empty());
  const auto reader = SessionReader::open(file("kept.orrery")).value();
  EXPECT_EQ(static_cast<int64_t>(reader->tokens(1)->size()), controller().history().n_steps());
}

TEST_F(ChatWindowTest, ASystemMessageBeginsANewChatOnly) {
  open(model_path("tiny-text.q8_0.gguf"));
  auto* system_switch = find<QToolButton>("system_switch");
  EXPECT_FALSE(find<QPlainTextEdit>("system")->isVisible());
  system_switch->setChecked(true);
  ASSERT_TRUE(find<QPlainTextEdit>("system")->isVisible());
  find<QPlainTextEdit>("system")->setPlainText("Be brief.");
  window_->prompt().set_text("Hello");
  press(Qt::Key_Return);
  ASSERT_TRUE(began(0));
  ASSERT_TRUE(ended());
  run_events_for(50);
  EXPECT_EQ(SessionReader::open(controller().session_path()).value()->run(0)->prompt.system, "Be brief.");
  EXPECT_FALSE(system_switch->isEnabled());
  EXPECT_FALSE(system_switch->toolTip().isEmpty());
}

TEST_F(ChatWindowTest, AModelWithoutAChatFormatSaysSo) {
  open(model_path("tiny-llama-c.f32.gguf"));
  EXPECT_FALSE(find<QToolButton>("chat")->isEnabled());
  EXPECT_FALSE(find<QToolButton>("chat")->toolTip().isEmpty());
  EXPECT_TRUE(find<QLabel>("no_chat")->isVisible());
  EXPECT_FALSE(find<QLabel>("no_chat")->text().isEmpty());
}

}  // namespace
}  // namespace orrery

// The window as a person uses it: open, generate, pause, scrub, pin, theme, close while running, reopen, replay.
#include <QDockWidget>
#include <QKeyEvent>
#include <QLabel>
#include <QLineEdit>
#include <QPlainTextEdit>
#include <QTimer>
#include <QToolButton>
#include <QTreeWidget>
#include <atomic>
#include <fstream>
#include <thread>

#include "app/window/session_files.h"
#include "sessions/session_reader.h"
#include "tests/app/window/window_fixture.h"

namespace orrery {
namespace {

using testing::application;
using testing::HeldEngine;
using testing::model_path;
using testing::run_events_for;
using testing::takes_ms;
using testing::wait_until;
using Mode = SessionController::Mode;

constexpr const char* kTinyModel = "tiny-text.q8_0.gguf";

class MainWindowTest : public testing::WindowTest {
 protected:
  void TearDown() override {
    window_.reset();
    WindowTest::TearDown();
  }
  void open(const std::string& path = {}) {
    window_ = std::make_unique<MainWindow>(WindowOptions{.file = path, .prompt = {}, .generate = false, .threads = 1});
    QObject::connect(&controller(), &SessionController::run_opened, window_.get(), [this] { ++n_runs_; });
    window_->show();
  }
  SessionController& controller() { return window_->controller(); }

  void open_tiny_model() {
    open(model_path(kTinyModel));
    ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr; })) << window_->error_text().toStdString();
  }

  // Returns once the run is on the screen; it may have ended by then.
  void start(GenerateRequest request) {
    const int before = n_runs_;
    controller().generate(std::move(request));
    ASSERT_TRUE(wait_until([&] { return n_runs_ > before; })) << window_->error_text().toStdString();
  }

  // A run that takes `delay_ms` per token at least; the tiny models take 512 tokens at most.
  void generate(int64_t n_new_tokens, int delay_ms = 0) {
    GenerateRequest request;
    request.kind = PromptKind::kPrompt;
    request.text = "Once upon a time there was a";
    request.sampler.temperature = 0;  // a tiny model that always takes the likeliest goes round in circles, endlessly
    request.n_new_tokens = n_new_tokens;
    if (delay_ms > 0) request.after_token = takes_ms(delay_ms);
    start(std::move(request));
  }
  // Returns once the run is on the screen and held up.
  void generate_held(int64_t n_new_tokens, const HeldEngine& engine) {
    GenerateRequest request;
    request.text = "Once";
    request.n_new_tokens = n_new_tokens;
    request.sampler.temperature = 0;
    request.after_token = engine.after_token();
    start(std::move(request));
    ASSERT_TRUE(wait_until([&] { return engine.held(); }));
  }
  bool wait_for_end() {
    return wait_until([this] { return !controller().running() && !controller().waiting_for_run(); });
  }
  bool wait_for_tokens(int64_t n) {
    return wait_until([this, n] { return controller().history().n_processed() >= n; });
  }
  void key(int key, Qt::KeyboardModifiers modifiers = Qt::NoModifier, const QString& text = {}) {
    QKeyEvent event(QEvent::KeyPress, key, modifiers, text);
    QApplication::sendEvent(window_.get(), &event);
  }

  int n_runs_ = 0;
  std::unique_ptr<MainWindow> window_;
};

TEST_F(MainWindowTest, ShowsAStartPageWithNothingOpen) {
  open();
  run_events_for(100);
  EXPECT_EQ(controller().mode(), Mode::kEmpty);
  EXPECT_NE(window_->findChild<QWidget*>("start_page"), nullptr);
  EXPECT_TRUE(window_->findChild<QWidget*>("start_page")->isVisible());
  EXPECT_FALSE(window_->canvas("attention")->isVisible());
  const auto* library = window_->findChild<QTreeWidget*>("library");
  EXPECT_FALSE(library->findItems("Get ", Qt::MatchStartsWith | Qt::MatchRecursive).isEmpty()) << "a model to fetch";
}

// Of the Docks menu.
QAction* dock_action(MainWindow& window, const char* view) {
  return window.findChild<QDockWidget*>(QStringLiteral("dock_") + QLatin1String(view))->toggleViewAction();
}

TEST_F(MainWindowTest, OffersTheViewsThatTheModelHasAndSaysWhyNotTheOthers) {
  const auto shown = [this] {
    std::string names;
    for (const char* view : {"attention", "state", "fast", "loop", "routing", "cache"}) {
      const bool visible = window_->canvas(view)->isVisible();
      EXPECT_EQ(dock_action(*window_, view)->isEnabled(), visible) << view;
      if (visible) names += std::string(" ") + view;
    }
    return names;
  };
  const auto generate_with = [this](const char* model) {
    window_->open_path(QString::fromStdString(model_path(model)));
    ASSERT_TRUE(wait_until([&] {
      return controller().model() != nullptr && !controller().loading_model() &&
             controller().model()->file->path().find(model) != std::string::npos;
    })) << window_->error_text().toStdString();
    GenerateRequest request;
    request.kind = PromptKind::kTokens;
    request.text = "1,2,3,4,5";
    request.sampler.temperature = 0;
    request.n_new_tokens = 6;
    start(std::move(request));
    ASSERT_TRUE(wait_for_end());
    run_events_for(100);
  };
  open();
  generate_with("tiny-llama-a");
  EXPECT_EQ(shown(), " attention cache");
  EXPECT_NE(dock_action(*window_, "state")->text().indexOf("no layers with a recurrent state"), -1);
  generate_with("tiny-mamba");
  EXPECT_EQ(shown(), " state cache");
  EXPECT_TRUE(wait_until([this] { return window_->canvas("state")->scene().axes.size() > 1; })) << "maps are drawn";
  generate_with("tiny-ttt-linear");
  EXPECT_EQ(shown(), " fast cache");
  EXPECT_TRUE(wait_until([this] { return window_->canvas("fast")->scene().axes.size() > 1; })) << "maps are drawn";
  generate_with("tiny-ouro");
  EXPECT_EQ(shown(), " attention loop cache");
  EXPECT_TRUE(wait_until([this] { return window_->canvas("loop")->scene().axes.size() > 1; })) << "maps are drawn";
  generate_with("tiny-granite-hybrid");
  EXPECT_EQ(shown(), " attention state routing cache");
  EXPECT_TRUE(wait_until([this] { return window_->canvas("routing")->scene().axes.size() > 1; }));
  // Behind each stands a view that a click on its tab brings to the front.
  EXPECT_TRUE(dock_action(*window_, "convolution")->isEnabled());
  auto* convolution = window_->findChild<QDockWidget*>("dock_convolution");
  EXPECT_TRUE(window_->tabifiedDockWidgets(convolution).contains(window_->findChild<QDockWidget*>("dock_state")));
  EXPECT_TRUE(window_->canvas("convolution")->visibleRegion().isEmpty());
  EXPECT_FALSE(window_->canvas("state")->visibleRegion().isEmpty());
  window_->resize(1400, 1000);
  window_->resizeDocks({convolution}, {320}, Qt::Vertical);  // a low dock has room for its title alone
  convolution->raise();
  EXPECT_TRUE(wait_until([this] { return !window_->canvas("convolution")->scene().series.empty(); }))
      << "taps are drawn";
  window_->findChild<QDockWidget*>("dock_mixing")->raise();
  EXPECT_TRUE(wait_until([this] { return window_->canvas("mixing")->scene().scales.size() > 2; })) << "lanes are drawn";
  for (const char* front : {"dock_state", "dock_attention"}) window_->findChild<QDockWidget*>(front)->raise();
  // What the user closes stays closed for models that have it.
  dock_action(*window_, "state")->trigger();
  generate_with("tiny-llama-a");
  generate_with("tiny-granite-hybrid");
  EXPECT_FALSE(window_->canvas("state")->isVisible());
  EXPECT_TRUE(window_->canvas("routing")->isVisible());
}

TEST_F(MainWindowTest, GeneratesPausesStepsScrubsPinsAndGoesBack) {
  open_tiny_model();
  generate(480, 20);
  ASSERT_TRUE(wait_for_tokens(12));
  for (const char* view : {"text", "attention", "output", "cache", "timeline"}) {
    ASSERT_NE(window_->canvas(view), nullptr) << view;
    EXPECT_TRUE(wait_until([&] { return !window_->canvas(view)->scene().items.empty(); })) << view;
  }
  key(Qt::Key_Space);
  EXPECT_TRUE(controller().paused());
  run_events_for(100);
  const int64_t paused_at = controller().history().n_processed();
  run_events_for(150);
  EXPECT_EQ(controller().history().n_processed(), paused_at) << "a paused run stands still";
  controller().step();
  EXPECT_TRUE(wait_for_tokens(paused_at + 1)) << "one token more";

  // Scrubbing back while the run lives: the same frames, from what is held.
  EXPECT_TRUE(controller().view().follow);
  key(Qt::Key_Left);
  key(Qt::Key_Left);
  const Selection now = resolve(controller().history(), controller().view());
  EXPECT_EQ(now.step, controller().history().n_processed() - 3);
  EXPECT_FALSE(controller().view().follow);
  key(Qt::Key_Down);
  key(Qt::Key_BracketRight);
  const Selection pinned = resolve(controller().history(), controller().view());
  EXPECT_EQ(pinned.layer, 1);
  EXPECT_EQ(pinned.head, 1);
  controller().apply(Select{.step = {}, .layer = {}, .head = {}, .key = 2});
  EXPECT_EQ(controller().view().selected.key, 2);
  key(Qt::Key_Escape);
  EXPECT_EQ(controller().view().selected.key, -1);
  controller().apply(Back{});
  EXPECT_EQ(controller().view().selected.key, 2) << "back undoes a pin";
  key(Qt::Key_F);
  EXPECT_TRUE(controller().view().follow);
  key(Qt::Key_Space);
  EXPECT_TRUE(wait_for_tokens(paused_at + 5)) << "and it goes on";
  controller().stop();
  EXPECT_TRUE(wait_for_end());
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(MainWindowTest, RecordsEveryRunPrivatelyUnlessToldNotTo) {
  open_tiny_model();
  generate(20);
  ASSERT_TRUE(wait_for_end());
  const auto sessions = recorded_sessions();
  ASSERT_EQ(sessions.size(), 1u);
  const auto permissions = std::filesystem::status(sessions[0].path).permissions();
  EXPECT_EQ(permissions & (std::filesystem::perms::group_all | std::filesystem::perms::others_all),
            std::filesystem::perms::none);
  const auto reader = SessionReader::open(sessions[0].path.string());
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->runs()->size(), 1u);
  EXPECT_EQ((*reader)->run(0)->end, RunEnd::kComplete);

  GenerateRequest request;
  request.text = "A";
  request.n_new_tokens = 5;
  request.record = false;
  start(std::move(request));
  ASSERT_TRUE(wait_for_end());
  EXPECT_EQ(controller().session_path(), "");
  EXPECT_EQ(recorded_sessions().size(), 1u);
}

TEST_F(MainWindowTest, ChangesThemeWhileRunning) {
  open_tiny_model();
  generate(480, 20);
  ASSERT_TRUE(wait_for_tokens(12));
  for (const ThemeKind kind : {ThemeKind::kDark, ThemeKind::kProjector, ThemeKind::kLight}) {
    window_->set_theme(kind);
    run_events_for(100);
    const QImage seen = window_->canvas("attention")->grabFramebuffer();
    const Rgba panel = theme_of(kind).colour(ColourRole::kPanel);
    const Rgba ground = theme_of(kind).colour(ColourRole::kGround);
    const QRgb corner = seen.pixel(1, 1);
    EXPECT_TRUE(std::abs(qRed(corner) - panel.r) <= 2 || std::abs(qRed(corner) - ground.r) <= 2);
  }
  EXPECT_TRUE(controller().running());
}

TEST_F(MainWindowTest, ClosedWhileRunningLeavesAWholeSessionThatReplays) {
  open_tiny_model();
  generate(480, 20);
  ASSERT_TRUE(wait_for_tokens(30));
  window_->close();
  window_.reset();
  const auto sessions = recorded_sessions();
  ASSERT_EQ(sessions.size(), 1u);
  const std::string path = sessions[0].path.string();
  int64_t n_tokens = 0;
  {
    const auto reader = SessionReader::open(path);
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_EQ((*reader)->run(0)->end, RunEnd::kStopped);
    EXPECT_TRUE((*reader)->gaps(1)->empty());
    n_tokens = static_cast<int64_t>((*reader)->tokens(1)->size());
    EXPECT_GE(n_tokens, 30);
  }
  EXPECT_FALSE(std::filesystem::exists(path + "-wal")) << "one file once closed";

  open(path);
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kStored; }))
      << window_->error_text().toStdString();
  EXPECT_EQ(controller().history().n_steps(), n_tokens);
  // The views fetch what they need.
  const Probe* rows = find_probe("attention.row");
  EXPECT_TRUE(wait_until([&] { return static_cast<bool>(controller().history().row(*rows, 10)); }));
  EXPECT_EQ(controller().history().row(*rows, 10).frame->origin, Origin::kRecorded);

  key(Qt::Key_Space);
  EXPECT_EQ(controller().mode(), Mode::kReplay);
  EXPECT_LT(controller().history().n_steps(), n_tokens) << "it begins at the beginning";
  ASSERT_TRUE(wait_until([this] { return controller().history().n_steps() > 8; }));
  key(Qt::Key_Space);
  EXPECT_FALSE(controller().replay_playing());
  run_events_for(50);
  const int64_t at = controller().history().n_steps();
  controller().step();
  EXPECT_TRUE(wait_until([&] { return controller().history().n_steps() == at + 1; }));
  controller().set_replay_speed(1000);
  key(Qt::Key_Space);
  EXPECT_TRUE(
      wait_until([&] { return controller().history().n_steps() == n_tokens && !controller().replay_playing(); }));
  controller().stop();
  EXPECT_EQ(controller().mode(), Mode::kStored);
}

TEST_F(MainWindowTest, SavesUnderANameWhenTheRunEnds) {
  open_tiny_model();
  HeldEngine engine(12);
  generate_held(60, engine);
  controller().save_as(file("kept.orrery"));
  EXPECT_FALSE(std::filesystem::exists(file("kept.orrery"))) << "not while it is being written";
  engine.release();
  ASSERT_TRUE(wait_for_end());
  EXPECT_TRUE(std::filesystem::exists(file("kept.orrery"))) << window_->error_text().toStdString();
  EXPECT_TRUE(recorded_sessions().empty());
  EXPECT_EQ(controller().session_path(), file("kept.orrery"));
}

TEST_F(MainWindowTest, ASecondRunReplacesTheFirstOnTheScreenOnly) {
  open_tiny_model();
  generate(480, 20);
  ASSERT_TRUE(wait_for_tokens(12));
  const std::string first = controller().session_path();
  GenerateRequest request;
  request.text = "Another";
  request.n_new_tokens = 10;
  start(std::move(request));
  EXPECT_NE(controller().session_path(), first);
  ASSERT_TRUE(wait_for_end());
  EXPECT_EQ(recorded_sessions().size(), 2u);
  EXPECT_EQ(window_->error_text(), "");
}

// --- bad input: one sentence, and the window stays ---

TEST_F(MainWindowTest, SaysWhyAFileCannotBeOpened) {
  std::ofstream(file("noise.orrery")) << "this is no session";
  std::ofstream(file("noise.gguf")) << "GGUX not a model";
  open();
  for (const char* name : {"noise.orrery", "noise.gguf", "missing.orrery", "missing.gguf"}) {
    window_->open_path(QString::fromStdString(file(name)));
    EXPECT_TRUE(wait_until([this] { return !window_->error_text().isEmpty(); })) << name;
    EXPECT_TRUE(window_->error_text().contains(name)) << window_->error_text().toStdString();
    EXPECT_FALSE(window_->error_text().contains('\n')) << name;
  }
  EXPECT_TRUE(window_->isVisible());
}

TEST_F(MainWindowTest, SaysWhyARunCannotStartAndKeepsTheModel) {
  open_tiny_model();
  GenerateRequest empty;
  empty.text = "";
  controller().generate(std::move(empty));
  EXPECT_TRUE(wait_until([this] { return !window_->error_text().isEmpty(); }));
  GenerateRequest wrong;
  wrong.kind = PromptKind::kTokens;
  wrong.text = "1, 99999999";
  controller().generate(std::move(wrong));
  EXPECT_TRUE(wait_until([this] { return window_->error_text().contains("99999999"); }))
      << window_->error_text().toStdString();
  generate(3);
  EXPECT_TRUE(wait_for_end());
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(MainWindowTest, TakesTokenIdsWhereAModelHasNoTokenizer) {
  open(model_path("tiny-llama-a.f32.gguf"));
  ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr; })) << window_->error_text().toStdString();
  run_events_for(50);
  window_->prompt().set_text("1, 5 9");
  window_->start_generating();
  ASSERT_TRUE(wait_until([this] { return controller().history().n_processed() >= 3; }))
      << window_->error_text().toStdString();
  controller().stop();
  EXPECT_TRUE(wait_for_end());
  EXPECT_EQ(controller().history().tokens()[1].id, 5);
}

TEST_F(MainWindowTest, ShowsModelTextAsText) {
  open_tiny_model();
  window_->prompt().set_text("<b>bold</b> \x1b[31m & <img src=x>");
  window_->start_generating();
  ASSERT_TRUE(wait_until([this] { return controller().history().n_processed() > 3; }))
      << window_->error_text().toStdString();
  run_events_for(200);
  controller().stop();
  EXPECT_TRUE(wait_for_end());
}

// --- neither side waits for the other ---

TEST_F(MainWindowTest, TheEngineGoesOnWhileTheWindowIsHeldUp) {
  open_tiny_model();
  HeldEngine engine(24);
  generate_held(480, engine);
  const int64_t ticks = window_->n_ticks();
  const int64_t passes = controller().engine().n_passes();
  engine.release();
  const auto passes_during = [&] { return controller().engine().n_passes() - passes; };
  for (int i = 0; i < 4000 && passes_during() <= 100; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // no events are handled
  }
  EXPECT_GT(passes_during(), 100);
  EXPECT_EQ(window_->n_ticks(), ticks);
  // And nothing of it is lost: what the ring dropped is in the file.
  controller().stop();
  ASSERT_TRUE(wait_for_end());
  const auto tokens = SessionReader::open(controller().session_path()).value()->tokens(1);
  ASSERT_TRUE(tokens);
  EXPECT_TRUE(wait_until([&] { return controller().history().n_steps() == static_cast<int64_t>(tokens->size()); }));
}

TEST_F(MainWindowTest, TheWindowGoesOnWhileTheEngineIsHeldUp) {
  open_tiny_model();
  HeldEngine engine(24);
  generate_held(400, engine);
  run_events_for(100);
  const int64_t passes = controller().engine().n_passes();
  const int64_t ticks = window_->n_ticks();
  const int64_t paints = window_->canvas("text")->n_paints();
  int64_t step = 0;
  QTimer scrubbing;  // the user goes on scrubbing
  QObject::connect(&scrubbing, &QTimer::timeout,
                   [&] { controller().apply(Select{.step = step++ % 10, .layer = {}, .head = {}, .key = {}}); });
  scrubbing.start(16);
  // How many in what time is the benchmark's matter: here none would come.
  EXPECT_TRUE(
      wait_until([&] { return window_->n_ticks() > ticks + 5 && window_->canvas("text")->n_paints() > paints + 5; }));
  scrubbing.stop();
  EXPECT_EQ(controller().engine().n_passes(), passes) << "it was held up throughout";
  engine.release();
  controller().stop();
  EXPECT_TRUE(wait_for_end());
}

TEST_F(MainWindowTest, TheViewsHaveTheirShareOfTheWindowsHeight) {
  open_tiny_model();
  generate(20);
  ASSERT_TRUE(wait_for_end());
  const auto height_of = [&](const char* view) { return window_->canvas(view)->height(); };
  window_->resize(1280, 800);
  // A few lines of text; what is left is the views'.
  ASSERT_TRUE(wait_until([&] { return height_of("text") > 80 && height_of("text") < 800 / 4; })) << height_of("text");
  const int before = height_of("attention");
  EXPECT_GT(before, 80);
  window_->resize(1280, 1000);
  ASSERT_TRUE(wait_until([&] { return height_of("attention") > before + 60; })) << height_of("attention");
  EXPECT_LT(height_of("text"), 1000 / 4);
}

TEST_F(MainWindowTest, WhatTheScreenDroppedIsFetchedFromTheRecording) {
  open_tiny_model();
  GenerateRequest request;
  request.text = "Once";
  request.n_new_tokens = 500;
  request.sampler.temperature = 0;
  controller().generate(std::move(request));
  // More than the ring holds, while nobody takes anything out of it.
  for (int i = 0; i < 2000 && controller().engine().n_passes() < 480; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_GE(controller().engine().n_passes(), 480);
  ASSERT_TRUE(wait_until([this] { return n_runs_ == 1; }));
  ASSERT_TRUE(wait_for_end());
  EXPECT_GT(controller().n_dropped(), 100);
  // The text was never lost: the last steps are among those that were dropped.
  const auto tokens = SessionReader::open(controller().session_path()).value()->tokens(1);
  ASSERT_TRUE(tokens);
  ASSERT_EQ(controller().history().n_steps(), std::ssize(*tokens));
  for (const Token& token : *tokens) {
    ASSERT_EQ(controller().history().tokens()[static_cast<size_t>(token.step)].id, token.id);
  }
  const Probe* entropy = find_probe("output.entropy");
  const int64_t n = controller().history().n_processed();
  EXPECT_EQ(n, std::ssize(*tokens) - 1) << "the last one is not fed";
  EXPECT_TRUE(wait_until([&] { return controller().history().missing(*entropy, 0, n).empty(); }));
}

TEST_F(MainWindowTest, FloatsADockAndDrawsInIt) {
  open_tiny_model();
  generate(20);
  ASSERT_TRUE(wait_for_end());
  auto* dock = window_->findChild<QDockWidget*>("dock_attention");
  ASSERT_NE(dock, nullptr);
  for (const bool floating : {true, false}) {
    dock->setFloating(floating);
    run_events_for(200);
    const int64_t paints = window_->canvas("attention")->n_paints();
    controller().apply(move_step(controller().history(), controller().view(), -1));
    EXPECT_TRUE(wait_until([&] { return window_->canvas("attention")->n_paints() > paints; }));
  }
}

TEST_F(MainWindowTest, SlowedDownItStillGeneratesAndCanBePaused) {
  open_tiny_model();
  controller().set_live_rate(50);
  generate(480);
  ASSERT_TRUE(wait_for_tokens(10));
  const int64_t before = controller().history().n_processed();
  run_events_for(400);
  const int64_t during = controller().history().n_processed() - before;
  EXPECT_GE(during, 2);
  EXPECT_LE(during, 40) << "50 a second at most";
  EXPECT_FALSE(controller().paused());
  key(Qt::Key_Space);
  EXPECT_TRUE(controller().paused());
  controller().stop();
  EXPECT_TRUE(wait_for_end());
}

}  // namespace
}  // namespace orrery

// Exact attention rows of chosen steps, and pinned heads, in a real window.
#include <QKeyEvent>
#include <thread>

#include "sessions/session_reader.h"
#include "tests/app/window/window_fixture.h"
#include "views/registry.h"

namespace orrery {
namespace {

using testing::HeldEngine;
using testing::model_path;
using testing::run_events_for;
using testing::takes_ms;
using testing::wait_until;
using Mode = SessionController::Mode;

class ExactRowsTest : public testing::WindowTest {
 protected:
  void SetUp() override {
    WindowTest::SetUp();
    window_ = std::make_unique<MainWindow>(
        WindowOptions{.file = model_path("tiny-text.q8_0.gguf"), .prompt = {}, .generate = false, .threads = 1});
    QObject::connect(&controller(), &SessionController::run_opened, window_.get(), [this] { ++n_runs_; });
    window_->show();
    ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr; })) << window_->error_text().toStdString();
  }
  void TearDown() override {
    window_.reset();
    WindowTest::TearDown();
  }
  SessionController& controller() { return window_->controller(); }
  const FrameHistory& history() { return controller().history(); }
  const View& attention() { return **find_view("attention"); }

  // No exact rows but of pinned heads.
  void generate(int64_t n_new_tokens, std::function<void()> after_token = {}) {
    GenerateRequest request;
    request.kind = PromptKind::kPrompt;
    request.text = "Once upon a time there was a";
    request.sampler.temperature = 0;
    request.n_new_tokens = n_new_tokens;
    request.exact_steps = 0;
    request.after_token = std::move(after_token);
    const int before = n_runs_;
    controller().generate(std::move(request));
    ASSERT_TRUE(wait_until([&] { return n_runs_ > before; })) << window_->error_text().toStdString();
  }
  bool wait_for_end() {
    return wait_until([this] { return !controller().running() && !controller().waiting_for_run(); });
  }
  FrameRow exact_row(int64_t step, int32_t layer, int32_t head) {
    return history().row_of(*find_probe("attention.row"), step, layer, head);
  }
  bool choose(int64_t step, int32_t layer, int32_t head) {
    controller().apply(Select{.step = step, .layer = layer, .head = head});
    return wait_until([&] { return static_cast<bool>(exact_row(step, layer, head)); }, 5000);
  }
  // The 32 largest that were recorded are in the row.
  void expect_has_recorded_tops(int64_t step, int32_t layer, int32_t head) {
    const FrameRow row = exact_row(step, layer, head);
    ASSERT_TRUE(row);
    const FrameRow tops = history().row(*find_probe("attention.top"), step);
    ASSERT_TRUE(tops);
    const auto n_keys = static_cast<size_t>(row.inner_shape()[1]);
    const auto at = static_cast<size_t>(std::ranges::find(row.frame->heads, head) - row.frame->heads.begin());
    const std::span<const float> weights = row.layer_f32(layer).subspan(at * n_keys, n_keys);
    const std::span<const float> top = tops.layer_f32(layer).subspan(static_cast<size_t>(head) * 64, 64);
    int n_compared = 0;
    for (size_t i = 0; i < 64 && top[i] >= 0; i += 2, ++n_compared) {
      EXPECT_NEAR(weights[static_cast<size_t>(top[i])], top[i + 1], 1e-6) << "key " << top[i];
    }
    EXPECT_GT(n_compared, 3);
  }
  static std::vector<float> values(const FrameRow& row) {
    const std::span<const float> values = row.frame->values<float>();
    return {values.begin(), values.end()};
  }
  void key(int key) {
    QKeyEvent event(QEvent::KeyPress, key, Qt::NoModifier);
    QApplication::sendEvent(window_.get(), &event);
  }
  std::vector<int32_t> ids() {
    std::vector<int32_t> ids;
    for (const Token& token : history().tokens()) ids.push_back(token.id);
    return ids;
  }

  int n_runs_ = 0;
  std::unique_ptr<MainWindow> window_;
};

TEST_F(ExactRowsTest, AreComputedOfAChosenStepOfARunThatHasEnded) {
  generate(60);
  ASSERT_TRUE(wait_for_end());
  EXPECT_FALSE(exact_row(20, 1, 2));
  ASSERT_TRUE(choose(20, 1, 2)) << controller().no_exact_row(attention());
  EXPECT_EQ(exact_row(20, 1, 2).frame->origin, Origin::kRecomputed);
  expect_has_recorded_tops(20, 1, 2);
  EXPECT_EQ(controller().no_exact_row(attention()), "");
  // Its other heads came along; another layer is computed when it is chosen.
  EXPECT_TRUE(exact_row(20, 1, 0));
  EXPECT_FALSE(exact_row(20, 0, 0));
  ASSERT_TRUE(choose(33, 0, 0));
  expect_has_recorded_tops(33, 0, 0);
  EXPECT_TRUE(exact_row(20, 1, 2)) << "and the first one stays";
}

TEST_F(ExactRowsTest, OfARunInProgressLeaveItsTokensAsTheyAre) {
  generate(250);
  ASSERT_TRUE(wait_for_end());
  const std::vector<int32_t> alone = ids();
  generate(250, takes_ms(20));
  ASSERT_TRUE(wait_until([this] { return history().n_processed() > 20; }));
  for (int64_t step = 3; step < 15; ++step) {
    ASSERT_TRUE(choose(step, static_cast<int32_t>(step % 2), 1)) << controller().no_exact_row(attention());
    expect_has_recorded_tops(step, static_cast<int32_t>(step % 2), 1);
  }
  EXPECT_TRUE(controller().running()) << "the rows came in between";
  controller().run_or_pause();  // paused, a row comes all the same
  ASSERT_TRUE(controller().paused());
  ASSERT_TRUE(choose(18, 1, 1));
  controller().run_or_pause();
  ASSERT_TRUE(wait_for_end());
  EXPECT_EQ(ids(), alone);
}

TEST_F(ExactRowsTest, OfNewTokensAreNotComputedTwiceAndTheViewSaysWhatToDo) {
  HeldEngine engine(20);
  generate(60, engine.after_token());
  ASSERT_TRUE(wait_until([this] { return history().n_processed() > 12; }));
  EXPECT_TRUE(controller().view().follow);
  EXPECT_NE(controller().no_exact_row(attention()).find("pin the head"), std::string::npos);
  engine.release();
  ASSERT_TRUE(wait_for_end());
  const int64_t last = history().n_processed() - 1;
  EXPECT_TRUE(wait_until([&] { return static_cast<bool>(exact_row(last, 0, 0)); })) << "at rest, the newest one's is";
}

TEST_F(ExactRowsTest, ThatNobodyWantsAnyMoreAreDropped) {
  generate(300, takes_ms(60));  // the engine looks at what is wanted once a token
  ASSERT_TRUE(wait_until([this] { return history().n_processed() > 30; }));
  const int64_t before = history().n_processed();
  for (int i = 0; i < 200; ++i) {
    controller().apply(Select{.step = 5 + i % 20, .layer = i / 20 % 3, .head = 0});
    controller().want(attention());
  }
  controller().apply(Select{.step = 3, .layer = 2, .head = 0});
  ASSERT_TRUE(wait_until([this] { return static_cast<bool>(exact_row(3, 2, 0)); }));
  int64_t n_computed = 0;
  for (int64_t step = 5; step < 25; ++step) {
    for (int32_t layer = 0; layer < 3; ++layer) n_computed += exact_row(step, layer, 0) ? 1 : 0;
  }
  EXPECT_LE(n_computed, history().n_processed() - before + 2) << "one a token, the others were replaced";
  EXPECT_LT(n_computed, 60);
}

TEST_F(ExactRowsTest, OfARecordingAreComputedFromItsTokens) {
  generate(40);
  ASSERT_TRUE(wait_for_end());
  ASSERT_TRUE(choose(20, 1, 0));
  const std::vector<float> live = values(exact_row(20, 1, 0));
  controller().open_session(controller().session_path());
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kStored; }));
  EXPECT_TRUE(
      wait_until([this] { return controller().no_exact_row(attention()).find("click a step") != std::string::npos; }));
  ASSERT_TRUE(choose(20, 1, 0)) << controller().no_exact_row(attention());
  EXPECT_EQ(exact_row(20, 1, 0).frame->origin, Origin::kRecomputed);
  EXPECT_EQ(values(exact_row(20, 1, 0)), live) << "the same bits as from the run's own cache";
  // Earlier and later ones.
  ASSERT_TRUE(choose(7, 0, 1));
  ASSERT_TRUE(choose(33, 2, 2));
  expect_has_recorded_tops(33, 2, 2);
  EXPECT_FALSE(controller().feeding_again());
}

TEST_F(ExactRowsTest, ImpliedRowsOfStatesComeWithTheStateView) {
  controller().open_model(model_path("orrery-hybrid"));
  ASSERT_TRUE(wait_until([this] { return controller().model()->file->name() == "orrery-hybrid"; }));
  generate(20);
  ASSERT_TRUE(wait_for_end());
  const View& state = **find_view("state");
  const auto implied = [this] { return history().row_of(*find_probe("state.row"), 12, 0, 1); };
  const auto is_there = [&] {
    controller().want(state);  // whichever docks are open
    return static_cast<bool>(implied());
  };
  controller().apply(Select{.step = 12, .layer = 0, .head = 1});
  EXPECT_FALSE(implied());
  EXPECT_TRUE(controller().row_may_come(state));
  ASSERT_TRUE(wait_until(is_there)) << controller().no_exact_row(state);
  EXPECT_FALSE(controller().row_may_come(state));
  EXPECT_EQ(controller().no_exact_row(state), "");
  const std::vector<float> live = values(implied());
  EXPECT_GT(std::ranges::max(live), 0.0f);
  controller().open_session(controller().session_path());
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kStored; }));
  controller().apply(Select{.step = 12, .layer = 0, .head = 1});
  ASSERT_TRUE(wait_until(is_there)) << controller().no_exact_row(state);
  EXPECT_EQ(values(implied()), live);
}

TEST_F(ExactRowsTest, AreThoseOfTheRunThatTheEngineHasGoneOnTo) {
  controller().open_model(model_path("orrery-hybrid"));
  ASSERT_TRUE(wait_until([this] { return controller().model()->file->name() == "orrery-hybrid"; }));
  generate(20);
  ASSERT_TRUE(wait_for_end());
  ASSERT_TRUE(choose(12, 1, 0)) << controller().no_exact_row(attention());
  const int before = n_runs_;
  controller().run_with_exit({.rule = ExitRule::kGate, .threshold = 0.99f});
  ASSERT_TRUE(wait_until([&] { return n_runs_ > before; })) << window_->error_text().toStdString();
  ASSERT_TRUE(wait_for_end());
  ASSERT_TRUE(choose(15, 1, 0)) << controller().no_exact_row(attention());
  expect_has_recorded_tops(15, 1, 0);
}

TEST_F(ExactRowsTest, OfARecordingNeedTheModelThatMadeIt) {
  generate(40);
  ASSERT_TRUE(wait_for_end());
  const std::string path = controller().session_path();
  controller().open_model(model_path("tiny-llama-a"));
  ASSERT_TRUE(wait_until([this] { return controller().model()->file->name() == "tiny-llama-a"; }));
  controller().open_session(path);
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kStored; }));
  controller().apply(Select{.step = 20, .layer = 1, .head = 0});
  EXPECT_TRUE(wait_until(
      [this] { return controller().no_exact_row(attention()).find("open the run's model") != std::string::npos; }));
  ASSERT_TRUE(controller().can_open_run_model());
  controller().open_run_model();
  ASSERT_TRUE(wait_until([this] { return static_cast<bool>(exact_row(20, 1, 0)); })) << "once it is open";
}

TEST_F(ExactRowsTest, FeedingALongRecordingAgainCanBeStopped) {
  generate(2000);
  ASSERT_TRUE(wait_for_end());
  controller().open_session(controller().session_path());
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kStored; }));
  const int64_t last = history().n_processed() - 1;
  ASSERT_GT(last, 500);
  controller().apply(Select{.step = last, .layer = 1, .head = 0});
  controller().want(attention());
  ASSERT_TRUE(controller().feeding_again());
  controller().stop();
  EXPECT_FALSE(controller().feeding_again());
  EXPECT_TRUE(
      wait_until([this] { return controller().no_exact_row(attention()).find("stopped") != std::string::npos; }));
  EXPECT_FALSE(exact_row(last, 1, 0));
  ASSERT_TRUE(choose(5, 1, 0)) << "another step is computed all the same";
}

TEST_F(ExactRowsTest, PinnedHeadsAreExactAtEveryStepOfThisRunAndTheNext) {
  HeldEngine engine(20);
  generate(60, engine.after_token());
  ASSERT_TRUE(wait_until([this] { return history().n_processed() > 12; }));
  controller().apply(Select{.layer = 1, .head = 3});
  const int64_t pinned_at = history().n_processed();
  key(Qt::Key_P);
  ASSERT_EQ(controller().view().pins, (std::vector<PinnedHead>{{1, 3}}));
  engine.release();
  ASSERT_TRUE(wait_for_end());
  const int64_t last = history().n_processed() - 1;
  ASSERT_TRUE(exact_row(last, 1, 3));
  EXPECT_EQ(exact_row(last, 1, 3).frame->origin, Origin::kLive);
  expect_has_recorded_tops(last, 1, 3);
  EXPECT_FALSE(exact_row(pinned_at - 4, 1, 3));
  generate(30);
  ASSERT_TRUE(wait_for_end());
  EXPECT_EQ(controller().view().pins.size(), 1u);
  for (int64_t step = 0; step < history().n_processed(); ++step) EXPECT_TRUE(exact_row(step, 1, 3)) << step;
  key(Qt::Key_P);
  EXPECT_TRUE(controller().view().pins.empty());
}

}  // namespace
}  // namespace orrery

// The what-if of a loop in the window: asked by keys, run as a child of the run on the screen.
#include "views/what_if.h"

#include <QKeyEvent>
#include <QMouseEvent>

#include "sessions/session_reader.h"
#include "tests/app/window/window_fixture.h"

namespace orrery {
namespace {

using testing::model_path;
using testing::wait_until;

class WhatIfWindowTest : public testing::WindowTest {
 protected:
  void TearDown() override {
    window_.reset();
    WindowTest::TearDown();
  }
  void open(const std::string& model) {
    window_ = std::make_unique<MainWindow>(
        WindowOptions{.file = model_path(model), .prompt = {}, .generate = false, .threads = 1});
    window_->show();
    ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr; })) << window_->error_text().toStdString();
  }
  SessionController& controller() { return window_->controller(); }
  void generate() {
    GenerateRequest request;
    request.kind = PromptKind::kTokens;
    request.text = "3 1 4 1 5 9 2 6 5 3 5 8 9 7 9 3 2 3 8 4";
    request.n_new_tokens = 6;
    request.sampler.seed = 7;
    controller().generate(std::move(request));
    wait_for_end();
  }
  void wait_for_end() {
    ASSERT_TRUE(wait_until([this] { return !controller().running() && !controller().waiting_for_run(); }));
    EXPECT_EQ(window_->error_text(), "");
  }
  void key(int key) {
    QKeyEvent event(QEvent::KeyPress, key, Qt::NoModifier, {});
    QApplication::sendEvent(window_.get(), &event);
  }
  // loop.depth of the given tokens.
  std::vector<float> recorded_depths(int64_t n) {
    std::vector<float> depths;
    for (int64_t step = 0; step < n; ++step) {
      depths.push_back(static_cast<float>(controller().history().row(*find_probe("loop.depth"), step).i32()[0]));
    }
    return depths;
  }

  std::unique_ptr<MainWindow> window_;
};

TEST_F(WhatIfWindowTest, RunItMakesAChildWhoseDepthsAreThoseThatWereForetold) {
  constexpr int64_t kGiven = 20;
  open("tiny-ouro");
  generate();
  const std::string path = controller().session_path();
  EXPECT_EQ(controller().history().info().run, 1);
  const LoopConfig own = controller().history().info().config.loop;
  const std::vector<float> before = recorded_depths(kGiven);
  const WhatIf asked{ExitRule::kGate, 0.55f};
  controller().apply(AskWhatIf{asked});
  const std::vector<float> foretold = depths_if(controller().history(), asked, 0, kGiven);
  EXPECT_NE(foretold, before) << "the threshold must matter";

  controller().apply(RunWhatIf{asked});
  ASSERT_TRUE(wait_until([this] { return controller().history().info().run == 2; }))
      << window_->error_text().toStdString();
  wait_for_end();
  EXPECT_EQ(controller().session_path(), path);
  EXPECT_EQ(recorded_depths(kGiven), foretold);
  EXPECT_FALSE(controller().view().what_if) << "it is the run's own now";
  const auto reader = SessionReader::open(path).value();
  const RunRecord child = reader->run(2).value();
  EXPECT_EQ(child.parent, 1);
  EXPECT_EQ(child.settings.loop.rule, ExitRule::kGate);
  EXPECT_EQ(child.settings.loop.threshold, 0.55f);
  EXPECT_EQ(child.settings.seed, 7u);
  EXPECT_EQ(child.settings.n_new_tokens, 6);
  EXPECT_EQ(child.prompt.text, reader->run(1)->prompt.text);

  // The next run from the prompt has the model's own exit again.
  generate();
  ASSERT_TRUE(wait_until([&] { return controller().session_path() != path; }));
  EXPECT_EQ(controller().history().info().config.loop, own);
  EXPECT_EQ(recorded_depths(kGiven), before);
}

TEST_F(WhatIfWindowTest, KeysAskAndMoveThroughTheLoop) {
  open("tiny-ouro");
  generate();
  key(Qt::Key_Greater);
  ASSERT_TRUE(controller().view().what_if);
  const float first = controller().view().what_if->threshold;
  key(Qt::Key_Less);
  EXPECT_LT(controller().view().what_if->threshold, first);
  key(Qt::Key_Period);
  EXPECT_EQ(resolve(controller().history(), controller().view()).iteration, 1);
  key(Qt::Key_Comma);
  EXPECT_EQ(resolve(controller().history(), controller().view()).iteration, 0);
  key(Qt::Key_Escape);
  EXPECT_FALSE(controller().view().what_if);
}

TEST_F(WhatIfWindowTest, TheHandleIsDraggedAndRunItIsClicked) {
  open("tiny-ouro");
  generate();
  ImGuiCanvas* const canvas = window_->canvas("loop");
  ASSERT_NE(canvas, nullptr);
  const auto place_of_slide = [&]() -> std::optional<Rect> {
    for (const HitRegion& region : canvas->scene().regions) {
      if (region.slide) return region.rect;
    }
    return std::nullopt;
  };
  ASSERT_TRUE(wait_until([&] { return place_of_slide().has_value(); })) << "the dock is too low for its handle";
  const auto send = [&](QEvent::Type type, QPointF at, Qt::MouseButtons held) {
    QMouseEvent event(type, at, canvas->mapToGlobal(at), type == QEvent::MouseMove ? Qt::NoButton : Qt::LeftButton,
                      held, Qt::NoModifier);
    QApplication::sendEvent(canvas, &event);
  };
  const Rect slide = *place_of_slide();
  const auto at = [&](float share) { return QPointF(slide.x + slide.width * share, slide.centre().y); };
  send(QEvent::MouseButtonPress, at(0.8f), Qt::LeftButton);
  ASSERT_TRUE(controller().view().what_if);
  EXPECT_NEAR(controller().view().what_if->threshold, 0.8f, 0.02f);
  send(QEvent::MouseMove, at(0.4f), Qt::LeftButton);
  send(QEvent::MouseButtonRelease, at(0.4f), Qt::NoButton);
  EXPECT_NEAR(controller().view().what_if->threshold, 0.4f, 0.02f);
  const auto place_of_run = [&]() -> std::optional<Rect> {
    for (const HitRegion& region : canvas->scene().regions) {
      if (region.click && std::holds_alternative<RunWhatIf>(*region.click)) return region.rect;
    }
    return std::nullopt;
  };
  ASSERT_TRUE(wait_until([&] { return place_of_run().has_value(); })) << "the scene is made anew with the button";
  const Point button = place_of_run()->centre();
  send(QEvent::MouseButtonPress, QPointF(button.x, button.y), Qt::LeftButton);
  EXPECT_TRUE(wait_until([this] { return controller().history().info().run == 2; }));
  wait_for_end();
}

TEST_F(WhatIfWindowTest, SaysWhyARunThatWasNotRecordedCannotBeRunAgain) {
  open("tiny-ouro");
  GenerateRequest request;
  request.kind = PromptKind::kTokens;
  request.text = "3 1 4";
  request.n_new_tokens = 1;
  request.record = false;
  controller().generate(std::move(request));
  wait_for_end();
  controller().apply(RunWhatIf{{ExitRule::kGate, 0.5f}});
  EXPECT_NE(window_->error_text().toStdString().find("was not recorded"), std::string::npos);
}

}  // namespace
}  // namespace orrery

// The window's frames go on while the engine stands still for five seconds, and while the disk does.
#include <QDockWidget>
#include <QTimer>
#include <QTreeWidget>

#include "app/window/session_files.h"
#include "sessions/session_reader.h"
#include "tests/app/window/stalled_disk.h"
#include "tests/app/window/window_fixture.h"

namespace orrery {
namespace {

using testing::HeldEngine;
using testing::model_path;
using testing::run_events_for;
using testing::StalledDisk;
using testing::takes_ms;
using testing::wait_until;
using Mode = SessionController::Mode;

constexpr int kStallMs = 5000;
// Of two cores that many programs share, with OpenGL in software (101 ticks were seen there; 312 are due). A window
// that waits has one frame of five seconds.
constexpr int kFewestTicks = 50;
constexpr int kFewestPaints = 40;
constexpr int kLongestFrameMs = 1500;

class NeverBlocksTest : public testing::WindowTest {
 protected:
  void SetUp() override {
    WindowTest::SetUp();
    StalledDisk::install();
  }
  void TearDown() override {
    StalledDisk::stall(false);
    window_.reset();
    StalledDisk::uninstall();
    WindowTest::TearDown();
  }
  void open(const std::string& path) {
    window_ = std::make_unique<MainWindow>(WindowOptions{.file = path, .prompt = {}, .generate = false, .threads = 1});
    window_->show();
  }
  SessionController& controller() { return window_->controller(); }
  void generate(int64_t n, std::function<void()> after_token = {}) {
    ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr; })) << window_->error_text().toStdString();
    GenerateRequest request;
    request.text = "Once upon a time";
    request.n_new_tokens = n;
    request.sampler.temperature = 0;
    request.after_token = std::move(after_token);
    controller().generate(std::move(request));
  }

  // The user goes on scrubbing, pinning and changing colours for the whole stall; what the window did meanwhile.
  void expect_frames_while_stalled() {
    const int64_t ticks = window_->n_ticks();
    const int64_t paints = window_->canvas("text")->n_paints();
    QElapsedTimer since;
    since.start();
    qint64 longest_ms = 0;
    int64_t seen = ticks;
    int64_t n = 0;
    QTimer user;
    QObject::connect(&user, &QTimer::timeout, [&] {
      if (window_->n_ticks() != seen) longest_ms = std::max(longest_ms, since.restart());
      seen = window_->n_ticks();
      ++n;
      const int64_t steps = std::max<int64_t>(controller().history().n_processed(), 1);
      controller().apply(Select{.step = n % steps, .layer = static_cast<int32_t>(n % 2), .head = 0, .key = n % 3});
      if (n % 20 == 0) controller().apply(ChooseHeadScalar{n % 40 == 0 ? "attention.first" : "attention.distance"});
    });
    user.start(16);
    run_events_for(kStallMs);
    user.stop();
    longest_ms = std::max(longest_ms, since.elapsed());
    const int64_t n_ticks = window_->n_ticks() - ticks;
    const int64_t n_paints = window_->canvas("text")->n_paints() - paints;
    RecordProperty("ticks", static_cast<int>(n_ticks));
    RecordProperty("paints", static_cast<int>(n_paints));
    RecordProperty("longest_frame_ms", static_cast<int>(longest_ms));
    std::printf("in %d ms: %lld ticks, %lld paints of the text, longest frame %lld ms\n", kStallMs,
                static_cast<long long>(n_ticks), static_cast<long long>(n_paints), static_cast<long long>(longest_ms));
    EXPECT_GE(n_ticks, kFewestTicks);
    EXPECT_GE(n_paints, kFewestPaints);
    EXPECT_LE(longest_ms, kLongestFrameMs);
  }

  std::unique_ptr<MainWindow> window_;
};

TEST_F(NeverBlocksTest, WhileTheEngineStandsStill) {
  HeldEngine engine(30);
  open(model_path("tiny-text.q8_0.gguf"));
  generate(400, engine.after_token());
  ASSERT_TRUE(wait_until([&] { return engine.held() && controller().history().n_processed() >= 20; }));
  run_events_for(200);
  const int64_t passes = controller().engine().n_passes();
  expect_frames_while_stalled();
  EXPECT_EQ(controller().engine().n_passes(), passes) << "it stood still throughout";
  engine.release();
  controller().stop();
  EXPECT_TRUE(wait_until([this] { return !controller().running(); }));
}

TEST_F(NeverBlocksTest, WhileTheDiskStandsStillUnderARecordedRun) {
  open(model_path("tiny-text.q8_0.gguf"));
  generate(120);
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kLive && !controller().running(); }));
  const std::string path = controller().session_path();
  window_.reset();
  open(path);
  ASSERT_TRUE(wait_until([this] { return controller().mode() == Mode::kStored; }))
      << window_->error_text().toStdString();
  StalledDisk::stall(true);
  const int64_t waited = StalledDisk::n_waited();
  // All that reads or writes the file: views that lack Frames, a replay, another session, the list of runs, a note.
  controller().run_or_pause();
  controller().open_session(path);
  controller().notes().add(3, "written while the disk stands still", "{}");
  expect_frames_while_stalled();
  EXPECT_GT(StalledDisk::n_waited(), waited) << "the disk was asked";
  EXPECT_TRUE(controller().notes().busy());
  StalledDisk::stall(false);
  EXPECT_TRUE(wait_until([this] { return !controller().notes().busy() && !controller().opening_session(); }));
  const auto notes = SessionReader::open(path).value()->notes(1);
  ASSERT_TRUE(notes);
  ASSERT_EQ(notes->size(), 1u);
  EXPECT_EQ(notes->front().text, "written while the disk stands still");
}

TEST_F(NeverBlocksTest, WhileTheDiskStandsStillUnderARunInProgress) {
  open(model_path("tiny-text.q8_0.gguf"));
  generate(450, takes_ms(20));
  ASSERT_TRUE(wait_until([this] { return controller().history().n_processed() >= 20; }));
  StalledDisk::stall(true);
  controller().notes().add(3, "live", "{}");
  expect_frames_while_stalled();
  StalledDisk::stall(false);
  EXPECT_TRUE(wait_until([this] { return !controller().notes().busy(); }));
  controller().stop();
  EXPECT_TRUE(wait_until([this] { return !controller().running(); }));
  // What the disk missed is told, and the run is whole otherwise.
  const auto reader = SessionReader::open(controller().session_path());
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->notes(1)->size(), 1u);
  EXPECT_GE((*reader)->tokens(1)->size(), 20u);
}

}  // namespace
}  // namespace orrery

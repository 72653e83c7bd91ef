// The choice of the backend in the window: kept, applied when a model is loaded, offered for the open one, refused with
// its reason.
#include <QMenu>
#include <QMessageBox>
#include <QPushButton>
#include <QToolButton>

#include "app/window/backend_menu.h"
#include "tests/app/test_device.h"
#include "tests/app/window/window_fixture.h"

namespace orrery {
namespace {

using testing::kTestDevice;
using testing::model_path;
using testing::run_events_for;
using testing::wait_until;
using testing::with_device;
using testing::without_device;

const BackendMakers kNoDevice =
    without_device({ErrorCode::kUnsupported, "there is no NVIDIA <driver> on this machine"});
constexpr size_t kPlenty = size_t{1} << 40;

class BackendTest : public testing::WindowTest {
 protected:
  void TearDown() override {
    window_.reset();
    WindowTest::TearDown();
  }
  void open(const BackendMakers& backends, std::optional<std::string> backend = {}) {
    WindowOptions options;
    options.threads = 1;
    options.backend = std::move(backend);
    options.backends = backends;
    window_ = std::make_unique<MainWindow>(options);
    window_->show();
    ASSERT_TRUE(wait_until([this] { return controller().no_cuda().has_value(); }));
  }
  SessionController& controller() { return window_->controller(); }
  QAction* choice(const std::string& name) {
    for (QAction* action : window_->findChild<QMenu*>("backend_menu")->actions()) {
      if (action->isCheckable() && action->data().toString().toStdString() == name) return action;
    }
    ADD_FAILURE() << "there is no choice " << name;
    return nullptr;
  }
  QString button_text() { return window_->findChild<QToolButton*>("backend")->text(); }
  QString button_tooltip() { return window_->findChild<QToolButton*>("backend")->toolTip(); }
  QMessageBox* offer() {
    auto* box = window_->findChild<QMessageBox*>("reload_offer");
    return box != nullptr && box->isVisible() ? box : nullptr;
  }
  void answer(const char* text) {
    ASSERT_NE(offer(), nullptr);
    for (QAbstractButton* one : offer()->buttons()) {
      if (one->text().remove('&') == QLatin1String(text)) return one->click();
    }
    ADD_FAILURE() << "there is no button " << text;
  }
  void open_tiny_model() {
    window_->open_path(QString::fromStdString(model_path("tiny-text.q8_0.gguf")));
    ASSERT_TRUE(loaded()) << window_->error_text().toStdString();
  }
  bool loaded() {
    return wait_until([this] { return controller().model() != nullptr && !controller().loading_model(); });
  }

  std::unique_ptr<MainWindow> window_;
};

TEST_F(BackendTest, CudaIsDisabledWithItsReasonWhereItCannotBeUsed) {
  open(kNoDevice);
  EXPECT_TRUE(choice("")->isChecked());
  EXPECT_FALSE(choice("cuda")->isEnabled());
  EXPECT_TRUE(choice("cuda")->toolTip().contains("there is no NVIDIA &lt;driver&gt; on this machine"))
      << choice("cuda")->toolTip().toStdString();
  EXPECT_TRUE(choice("cpu")->isEnabled());
  EXPECT_TRUE(choice("cuda-emulated")->isEnabled());
  EXPECT_TRUE(choice("cuda-emulated")->text().contains("slow"));
  open_tiny_model();
  EXPECT_EQ(controller().model()->backend, "cpu");
  EXPECT_EQ(controller().model()->remark, "");
  EXPECT_TRUE(button_text().startsWith("CPU, ")) << button_text().toStdString();
}

TEST_F(BackendTest, AutomaticTakesTheDevice) {
  open(with_device(kPlenty));
  EXPECT_TRUE(choice("cuda")->isEnabled());
  open_tiny_model();
  EXPECT_EQ(controller().model()->backend, "cuda");
  EXPECT_EQ(button_text(), kTestDevice);
}

TEST_F(BackendTest, AChoiceIsKeptAndTheOpenModelIsOfferedToBeLoadedAgain) {
  open(with_device(kPlenty));
  open_tiny_model();
  choice("cuda")->trigger();
  EXPECT_EQ(offer(), nullptr) << "it is there already";
  choice("cpu")->trigger();
  ASSERT_NE(offer(), nullptr);
  EXPECT_TRUE(offer()->text().contains(kTestDevice));
  answer("Not now");
  run_events_for(50);
  EXPECT_EQ(offer(), nullptr);
  EXPECT_EQ(controller().model()->backend, "cuda") << "the choice holds from the next model on";
  EXPECT_TRUE(choice("cpu")->isChecked());
  choice("")->trigger();
  EXPECT_EQ(offer(), nullptr);
  choice("cpu")->trigger();
  answer("Load again");
  ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr && controller().model()->backend == "cpu"; }));
  EXPECT_TRUE(button_text().startsWith("CPU, "));
  EXPECT_EQ(window_->error_text(), "");
  window_.reset();

  open(with_device(kPlenty));
  EXPECT_TRUE(choice("cpu")->isChecked()) << "also in the next window";
  window_.reset();
  open(with_device(kPlenty), "cuda");
  EXPECT_TRUE(choice("cuda")->isChecked()) << "but for one that was told otherwise";
}

TEST_F(BackendTest, ARunGoesOnBeingShownWhenItsModelIsLoadedAgain) {
  open(with_device(kPlenty));
  open_tiny_model();
  GenerateRequest request;
  request.text = "Once upon a time";
  request.n_new_tokens = 8;
  controller().generate(std::move(request));
  ASSERT_TRUE(wait_until([this] { return controller().history().n_processed() > 8 && !controller().running(); }));
  const int64_t n_tokens = controller().history().n_steps();
  choice("cpu")->trigger();
  answer("Load again");
  ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr && controller().model()->backend == "cpu"; }));
  EXPECT_EQ(controller().history().n_steps(), n_tokens);
  EXPECT_NE(controller().cannot_go_on(), "") << "the engine holds it no more";
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(BackendTest, AModelThatDoesNotFitGoesToTheCpuAndSaysSo) {
  open(with_device(1000));
  open_tiny_model();
  EXPECT_EQ(controller().model()->backend, "cpu");
  EXPECT_TRUE(button_tooltip().contains("the CPU computes instead")) << button_tooltip().toStdString();
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(BackendTest, WhatWasChosenAndDoesNotWorkIsAnErrorThatSaysWhatToDo) {
  open(with_device(1000), "cuda");
  window_->open_path(QString::fromStdString(model_path("tiny-text.q8_0.gguf")));
  ASSERT_TRUE(wait_until([this] { return !window_->error_text().isEmpty(); }));
  EXPECT_TRUE(window_->error_text().contains("1000")) << window_->error_text().toStdString();
  EXPECT_TRUE(window_->error_text().endsWith("choose another in the menu Run, Backend"));
  EXPECT_FALSE(controller().loading_model());
  window_.reset();

  open(kNoDevice, "cuda");
  EXPECT_TRUE(choice("cuda")->isChecked());
  window_->open_path(QString::fromStdString(model_path("tiny-text.q8_0.gguf")));
  ASSERT_TRUE(wait_until([this] { return !window_->error_text().isEmpty(); }));
  EXPECT_TRUE(window_->error_text().contains("no NVIDIA <driver>")) << window_->error_text().toStdString();
  choice("cpu")->trigger();
  open_tiny_model();
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(BackendTest, OnADeviceAModelMakesRoomForTheNextButNotForAFileThatIsNone) {
  BackendMakers makers = with_device(kPlenty);
  auto room = std::make_shared<std::atomic<size_t>>(kPlenty);
  makers.cuda = [room]() -> Result<std::shared_ptr<Backend>> {
    return {std::make_shared<testing::TestDevice>(room->load())};
  };
  open(makers, "cuda");
  open_tiny_model();
  window_->open_path(QString::fromStdString(file("missing.gguf")));
  EXPECT_TRUE(wait_until([this] { return !window_->error_text().isEmpty(); }));
  EXPECT_NE(controller().model(), nullptr);
  room->store(1000);
  window_->open_path(QString::fromStdString(model_path("tiny-llama-a.f32.gguf")));
  EXPECT_TRUE(wait_until([this] { return !window_->error_text().isEmpty(); }));
  EXPECT_EQ(controller().model(), nullptr);
  room->store(kPlenty);
  open_tiny_model();
}

TEST_F(BackendTest, AnotherChoiceWhileAModelIsLoadedHoldsForIt) {
  open(with_device(kPlenty));
  window_->open_path(QString::fromStdString(model_path("tiny-text.q8_0.gguf")));
  choice("cpu")->trigger();
  EXPECT_EQ(offer(), nullptr);
  ASSERT_TRUE(wait_until([this] { return controller().model() != nullptr && controller().model()->backend == "cpu"; }));
  EXPECT_EQ(window_->error_text(), "");
}

TEST_F(BackendTest, TheChoicesAreReachedByKeyboard) {
  open(kNoDevice);
  auto* button = window_->findChild<QToolButton*>("backend");
  EXPECT_NE(button->focusPolicy() & Qt::TabFocus, 0);
  EXPECT_EQ(button->menu(), window_->findChild<QMenu*>("backend_menu"));
  EXPECT_FALSE(button->accessibleName().isEmpty());
}

}  // namespace
}  // namespace orrery

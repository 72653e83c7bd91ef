// What the window's tests share: one application, folders of their own, and waiting while the event loop runs.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <QApplication>
#include <QElapsedTimer>
#include <QImage>
#include <QSettings>
#include <QSurfaceFormat>
#include <QThread>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "app/window/main_window.h"

namespace orrery::testing {

inline std::string model_path(const std::string& name) {
  return std::string(ORRERY_SOURCE_DIR) + "/assets/models/" + name;
}

// The application that all tests of the program share; made once, with the formats that run_window sets.
inline QApplication& application() {
  static int argc = 1;
  static char name[] = "window_tests";
  static char* argv[] = {name, nullptr};
  static QApplication* const shared = [] {
    QApplication::setAttribute(Qt::AA_ShareOpenGLContexts);
    QSurfaceFormat format;
    format.setVersion(3, 3);
    format.setProfile(QSurfaceFormat::CoreProfile);
    format.setSwapInterval(0);
    QSurfaceFormat::setDefaultFormat(format);
    auto* made = new QApplication(argc, argv);
    QApplication::setOrganizationName("orrery-test");
    QApplication::setApplicationName("orrery-test");
    return made;
  }();
  return *shared;
}

// Runs the event loop until `done` says so; false where that took longer than the limit.
inline bool wait_until(const std::function<bool()>& done, int limit_ms = 20000) {
  QElapsedTimer timer;
  timer.start();
  while (!done()) {
    if (timer.elapsed() > limit_ms) return false;
    QApplication::processEvents(QEventLoop::AllEvents, 20);
    QThread::msleep(1);
  }
  return true;
}

inline void run_events_for(int duration_ms) {
  QElapsedTimer timer;
  timer.start();
  wait_until([&] { return timer.elapsed() >= duration_ms; }, duration_ms + 1000);
}

// GenerateRequest::after_token of a run whose tokens take so long at least.
inline std::function<void()> takes_ms(int duration_ms) {
  return [duration_ms] { std::this_thread::sleep_for(std::chrono::milliseconds(duration_ms)); };
}

// Holds the engine up after so many tokens of a run, until it is released: what a test does meanwhile does not race it.
class HeldEngine {
 public:
  explicit HeldEngine(int n_tokens) : n_tokens_(n_tokens) {}
  ~HeldEngine() { release(); }
  HeldEngine(const HeldEngine&) = delete;
  HeldEngine& operator=(const HeldEngine&) = delete;

  std::function<void()> after_token() const {
    return [state = state_, left = n_tokens_]() mutable {
      if (--left != 0) return;
      state->held.store(true);
      while (!state->released.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
  }
  bool held() const { return state_->held.load(); }
  void release() { state_->released.store(true); }

 private:
  struct State {
    std::atomic<bool> held{false};
    std::atomic<bool> released{false};
  };
  int n_tokens_;
  std::shared_ptr<State> state_ = std::make_shared<State>();  // the engine may outlive the test's frame
};

// Nothing of a test reaches the user's own folders; each test has its own.
class WindowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "orrery-window-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    for (const char* variable : {"XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"}) {
      setenv(variable, (folder_ / variable).c_str(), 1);
    }
    setenv("ORRERY_MODELS_DIR", (folder_ / "models").c_str(), 1);
    application();
    QSettings().clear();
  }
  void TearDown() override {
    QApplication::processEvents();
    std::filesystem::remove_all(folder_);
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
};

}  // namespace orrery::testing

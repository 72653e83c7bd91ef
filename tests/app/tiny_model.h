// Tiny models of assets/models, opened, and folders for what tests write.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "app/open_model.h"
#include "app/prompt.h"
#include "app/recorded_run.h"

namespace orrery::testing {

inline std::string asset(const std::string& name) { return std::string(ORRERY_SOURCE_DIR) + "/assets/" + name; }

inline OpenedModel open_tiny(const std::string& name = "tiny-text.q8_0.gguf", int threads = 1,
                             const std::string& backend = "cpu") {
  Result<OpenedModel> opened =
      open_model({.model = asset("models/" + name), .backend = {.name = backend, .threads = threads}, .kv = {}});
  EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
  return std::move(*opened);
}

// A folder of its own for each test, removed with it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "orrery-test-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline RunRequest tiny_request(const OpenedModel& opened, Generator& generator, int64_t n_new,
                               TapSchedule schedule = {}) {
  RunRequest request;
  Result<PreparedPrompt> prompt =
      prepare_prompt(PromptKind::kPrompt, "The river ran past the mill and the old house.", opened);
  EXPECT_TRUE(prompt) << (prompt ? "" : prompt.error().message);
  request.prompt = std::move(prompt->tokens);
  request.n_new_tokens = n_new;
  request.schedule = std::move(schedule);
  request.batches = plan_batches(generator, static_cast<int64_t>(request.prompt.size()), request.schedule, {}, false);
  return request;
}

}  // namespace orrery::testing

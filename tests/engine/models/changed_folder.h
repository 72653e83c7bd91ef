// A copy of a tiny model's folder with some settings changed: for other spellings, and for what must be refused.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/engine/models/golden_check.h"

namespace orrery::testing {

class ChangedFolder {
 public:
  // A copy of assets/models/<model>; `changes` are merged into config.json, or its text_config; null takes a key out.
  ChangedFolder(const std::string& model, const nlohmann::json& changes)
      : path_(std::filesystem::path(::testing::TempDir()) / ("orrery_" + model + "_" + std::to_string(getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::copy(asset("models") / model, path_);
    nlohmann::json config = nlohmann::json::parse(std::ifstream(path_ / "config.json"));
    nlohmann::json& text = config.contains("text_config") ? config["text_config"] : config;
    text.merge_patch(changes);
    std::ofstream(path_ / "config.json") << config;
  }
  ~ChangedFolder() { std::filesystem::remove_all(path_); }
  ChangedFolder(const ChangedFolder&) = delete;
  ChangedFolder& operator=(const ChangedFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // What loading it says.
  std::string refusal() const {
    const auto model = Model::load(path_, make_cpu_backend(1));
    return model ? "it was loaded" : model.error().message;
  }

 private:
  std::filesystem::path path_;
};

// The logits of a model over `tokens`, in batches of 50; empty where it cannot be loaded.
inline std::vector<float> logits_of(const std::filesystem::path& path, const std::vector<int32_t>& tokens) {
  const auto model = load_model(path);
  return model == nullptr ? std::vector<float>() : measure(model, tokens, 50, false).logits;
}

// Loading the folder with those changes must be refused by a sentence with all of these parts.
inline void expect_refused(const char* model, const nlohmann::json& changes, const std::vector<std::string>& parts) {
  const std::string refusal = ChangedFolder(model, changes).refusal();
  for (const std::string& part : parts) {
    EXPECT_NE(refusal.find(part), std::string::npos) << model << " with " << changes << ": " << refusal;
  }
}

}  // namespace orrery::testing

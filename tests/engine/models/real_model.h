// Real models against llama.cpp and transformers. They are not kept here: ORRERY_MODELS_DIR names the folder that holds
// them, and without it their tests skip themselves.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/model.h"

namespace orrery::testing {

class RealModelTest : public ::testing::Test {
 protected:
  // file: as `orrery models get` names it; goldens: the folder below assets/goldens.
  RealModelTest(std::string file, std::string goldens) : file_(std::move(file)), goldens_(std::move(goldens)) {}
  void SetUp() override;

  nlohmann::json golden(const std::string& name) const;

  // How often we choose otherwise than llama.cpp, whose ids are forced through the model.
  struct Choices {
    int n_steps = 0;
    int n_different = 0;          // but where its own two best are within 1 %
    int n_different_decided = 0;  // of these, where its batches, its steps and float32 agree among themselves
  };
  // Of the runs of a golden of greedy choices.
  void compare_choices(const nlohmann::json& runs, Choices& choices) const;

  // Mean negative log likelihood of nll.json's text: within 1 % of llama.cpp's.
  void expect_likelihood() const;

  std::shared_ptr<const Model> model_;

 private:
  std::string file_, goldens_;
};

}  // namespace orrery::testing

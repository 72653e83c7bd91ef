// What tokens are called in a picture, by their ids: candidates need not be in the text.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "views/view.h"

namespace orrery {

class TokenNames {
 public:
  // input must outlive this. Where ids have no texts, tokens of the run within some hundred steps of `near` lend
  // theirs.
  TokenNames(const SceneInput& input, int64_t near) : input_(input), near_(near) {}

  // "␣cat"; "id 123" where its bytes are not known. Valid as long as this.
  const std::string& operator()(int32_t id);

 private:
  std::string bytes_of(int32_t id);

  const SceneInput& input_;
  const int64_t near_;
  bool knows_run_ = false;
  std::unordered_map<int32_t, std::string> names_;
  std::unordered_map<int32_t, std::string> of_run_;  // bytes of the run's tokens
};

}  // namespace orrery

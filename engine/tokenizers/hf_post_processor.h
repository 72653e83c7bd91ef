// The "post_processor" of a tokenizer.json: the ids that it puts around a text.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tokenizers/hf_json.h"
#include "kernels/base/result.h"

namespace orrery {

struct HfFrame {
  std::vector<int32_t> prefix, suffix;

  // kUnsupported for a kind that is not there, by its name, and for a template that does not hold the text exactly
  // once; kInvalidFile for fields that are missing or wrong. Ids are not checked against a vocabulary.
  static Result<HfFrame> read(const HfObject& post_processor);
};

}  // namespace orrery

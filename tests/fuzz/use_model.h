// What the program does with a model that it has just opened, in small.
#pragma once

#include <memory>

#include "engine/model_file.h"
#include "engine/tokenizer.h"

namespace orrery::testing {

// Reads the configuration, loads the weights and feeds a few tokens, as far as the file allows.
void use_model(const std::shared_ptr<const ModelFile>& file);

// Encodes and decodes `text`, whole and as a stream.
void use_tokenizer(const Tokenizer& tokenizer, std::string_view text);

}  // namespace orrery::testing

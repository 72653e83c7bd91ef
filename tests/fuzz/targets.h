// What strangers may hand over, each read the way the program reads it: one function per kind of file, which must come
// back whatever the bytes are. libFuzzer drives them (preset fuzz, tests/fuzz/run.sh); the corpus of each, crashes that
// were found included, is a test of every build.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace orrery::testing {

using FileBytes = std::span<const std::byte>;

void fuzz_gguf(FileBytes file);            // a whole GGUF file: metadata, tokenizer, model
void fuzz_safetensors(FileBytes file);     // model.safetensors beside a fixed config.json
void fuzz_config(FileBytes file);          // config.json beside fixed weights
void fuzz_tokenizer_json(FileBytes file);  // tokenizer.json; a line "\0" and then a text to encode may follow
void fuzz_chat_template(FileBytes file);   // the Jinja source
void fuzz_session(FileBytes file);         // see session_target.cpp

struct FuzzTarget {
  std::string_view name;  // its folder below corpus/
  void (*run)(FileBytes);
};

inline constexpr FuzzTarget kFuzzTargets[] = {
    {"gguf", fuzz_gguf},
    {"safetensors", fuzz_safetensors},
    {"config", fuzz_config},
    {"tokenizer_json", fuzz_tokenizer_json},
    {"chat_template", fuzz_chat_template},
    {"session", fuzz_session},
};

}  // namespace orrery::testing

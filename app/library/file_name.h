// The names that strangers give files, and the numbered names of a model that was split into several files.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace orrery {

// Whether a name from a server may become the name of a file or folder here: printable ASCII that every file system
// takes, at most 200 bytes, no separator of folders, not hidden, not to be mistaken for an option or for a file that is
// still being fetched.
bool is_plain_file_name(std::string_view name);

// "name-00002-of-00003.gguf", as llama.cpp and Hugging Face split models: the second of three files.
struct ShardName {
  std::string stem;       // "name"
  int index = 0;          // from 1 to count
  int count = 0;          // at most 99,999
  std::string extension;  // ".gguf", ".safetensors"

  std::string text() const;
  ShardName at(int other_index) const;  // the name of another shard of the same model
};

// Nothing where the name is not numbered so, or the number is not one of 1 to count.
std::optional<ShardName> parse_shard_name(std::string_view name);

}  // namespace orrery

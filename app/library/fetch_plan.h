// What a fetch will do, known before the first byte of a model is fetched: from where, how much, under which licence.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/library/known_models.h"

namespace orrery {

struct Licence {
  std::string name;               // SPDX identifier or the words of whoever gives the model; "unknown"
  std::string text;               // for people: whose the model is, and where the licence says so
  bool must_be_accepted = false;  // terms of use that bind whoever fetches the model
};

// One file on a server.
struct RemoteFile {
  std::string name;     // under which it is kept: plain, see is_plain_file_name
  std::string address;  // http or https
  std::optional<uint64_t> n_bytes;
  std::string sha256;  // lower-case hexadecimal; empty where nobody knows it
};

// What the user asks for.
struct FetchRequest {
  // A known model's name; the address of a GGUF file or of any shard of one; hf:OWNER/NAME[@REVISION][/FILE.gguf] or
  // the address of such a repository or file.
  std::string what;
  std::string file = {};    // of a repository: the GGUF file wanted
  std::string sha256 = {};  // of an address: what the file must have
  std::string name = {};    // what the model shall be called here; empty: as it is called there
};

struct FetchPlan {
  enum class Kind : uint8_t {
    kFile,    // one GGUF file, or the shards of one, each under its own name in the folder of models
    kFolder,  // a Hugging Face folder
    kKnown,   // a known model, out of packages of the package index
  };
  Kind kind = Kind::kFile;
  FetchRequest request;  // it makes this plan again
  std::string name;      // of the model once it is here: --model NAME
  std::string title;     // for people
  std::string source;    // for people: from where
  std::string revision;  // what the files are pinned to: a commit; empty where there is no such thing
  Licence licence;
  std::vector<RemoteFile> files;      // none for kKnown: its packages are looked up when they are fetched
  const KnownModel* known = nullptr;  // for kKnown
  std::string bearer_token;           // for the files' own origin; empty: none
  std::filesystem::path target;       // in the folder of models: the file (a split model's first), or the folder
  bool installed = false;             // it is there already; nothing will be fetched

  std::optional<uint64_t> n_bytes() const;  // to fetch in all, where it is known of every file
};

}  // namespace orrery

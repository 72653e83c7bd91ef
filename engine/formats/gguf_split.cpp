#include "engine/formats/gguf_split.h"

#include <charconv>
#include <cstdio>

#include "engine/formats/quoted.h"

namespace orrery {
namespace {

constexpr std::string_view kSuffix = ".gguf";
constexpr std::string_view kBetween = "-of-";
constexpr size_t kDigits = 5;
constexpr uint64_t kMostParts = 65535;  // split.count is written in 16 bits

// Takes the number at the end of `text` away.
std::optional<uint64_t> take_number(std::string_view& text) {
  if (text.size() < kDigits) return std::nullopt;
  const std::string_view digits = text.substr(text.size() - kDigits);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  text.remove_suffix(kDigits);
  return number;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

Error invalid(const std::string& path, const std::string& why) {
  return Error{ErrorCode::kInvalidFile, path + " is not a valid part of a split model: " + why};
}

// Holds what the file says of itself against its name: part `number` of `wanted_count`.
Result<void> check_part(const GgufPart& part, uint64_t number, uint64_t wanted_count) {
  ORRERY_ASSIGN_OR_RETURN(const uint64_t count, part.get_u64("split.count", 1));
  if (count != wanted_count) {
    return invalid(part.path(), "by its name it is one of " + std::to_string(wanted_count) +
                                    " files, but its split.count is " + std::to_string(count));
  }
  ORRERY_ASSIGN_OR_RETURN(const uint64_t index, part.get_u64("split.no", 0));
  if (index + 1 != number) {
    return invalid(part.path(), "by its name its split.no should be " + std::to_string(number - 1) + ", but is " +
                                    std::to_string(index));
  }
  return {};
}

Result<void> check_total(const std::vector<std::unique_ptr<const GgufPart>>& parts) {
  uint64_t total = 0;
  for (const auto& part : parts) total += part->tensors.size();
  ORRERY_ASSIGN_OR_RETURN(const uint64_t stated, parts.front()->get_u64("split.tensors.count", total));
  if (stated == total) return {};
  return invalid(parts.front()->path(), "the " + std::to_string(parts.size()) + " files hold " + std::to_string(total) +
                                            " tensors, but its split.tensors.count is " + std::to_string(stated));
}

}  // namespace

std::string GgufPartName::of(uint64_t other) const {
  char numbers[64];
  std::snprintf(numbers, sizeof numbers, "-%05llu-of-%05llu", static_cast<unsigned long long>(other),
                static_cast<unsigned long long>(count));
  return name + numbers + std::string(kSuffix);
}

std::optional<GgufPartName> parse_gguf_part_name(std::string_view file_name) {
  if (!take_suffix(file_name, kSuffix)) return std::nullopt;
  const std::optional<uint64_t> count = take_number(file_name);
  if (!count || !take_suffix(file_name, kBetween)) return std::nullopt;
  const std::optional<uint64_t> number = take_number(file_name);
  if (!number || !take_suffix(file_name, "-")) return std::nullopt;
  if (*number < 1 || *number > *count || *count > kMostParts) return std::nullopt;
  return GgufPartName{.name = std::string(file_name), .number = *number, .count = *count};
}

Result<std::vector<std::unique_ptr<const GgufPart>>> open_gguf_parts(const std::filesystem::path& path) {
  std::vector<std::unique_ptr<const GgufPart>> parts;
  ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<const GgufPart> given, GgufParser::open(path));
  ORRERY_ASSIGN_OR_RETURN(const uint64_t count, given->get_u64("split.count", 1));
  if (count <= 1) {
    parts.push_back(std::move(given));
    return parts;
  }
  const std::optional<GgufPartName> name = parse_gguf_part_name(path.filename().string());
  if (!name) {
    return invalid(given->path(), "it is one of " + std::to_string(count) +
                                      " files, which are found by names like NAME-00001-of-00003.gguf, not " +
                                      in_quotes(path.filename().string()));
  }
  for (uint64_t number = 1; number <= name->count; ++number) {
    std::unique_ptr<const GgufPart> part;
    if (number == name->number) {
      part = std::move(given);
    } else {
      auto opened = GgufParser::open(path.parent_path() / name->of(number));
      if (!opened && opened.error().code == ErrorCode::kNotFound) {
        return Error{ErrorCode::kNotFound, path.string() + " is one of " + std::to_string(name->count) +
                                               " files of a model, of which one is missing: " + name->of(number)};
      }
      if (!opened) return opened.error();
      part = std::move(opened).value();
    }
    ORRERY_RETURN_IF_ERROR(check_part(*part, number, name->count));
    parts.push_back(std::move(part));
  }
  ORRERY_RETURN_IF_ERROR(check_total(parts));
  return parts;
}

}  // namespace orrery

#include "views/token_names.h"

#include <algorithm>

#include "views/token_text.h"

namespace orrery {
namespace {

constexpr int64_t kNear = 256;  // steps to either side: a picture's cost has a bound

}  // namespace

const std::string& TokenNames::operator()(int32_t id) {
  const auto [entry, is_new] = names_.try_emplace(id);
  if (!is_new) return entry->second;
  const std::string bytes = bytes_of(id);
  entry->second = bytes.empty() ? "id " + std::to_string(id) : token_label(bytes);
  return entry->second;
}

std::string TokenNames::bytes_of(int32_t id) {
  if (input_.texts != nullptr) {
    if (std::string bytes = input_.texts->bytes(id); !bytes.empty()) return bytes;
  }
  if (!knows_run_) {
    knows_run_ = true;
    const std::span<const Token> tokens = input_.history.tokens();
    const int64_t end = std::clamp<int64_t>(near_ + kNear, 0, std::ssize(tokens));
    for (int64_t step = std::clamp<int64_t>(near_ - kNear, 0, end); step < end; ++step) {
      const Token& token = tokens[static_cast<size_t>(step)];
      if (!token.bytes.empty()) of_run_.try_emplace(token.id, token.bytes);
    }
  }
  const auto found = of_run_.find(id);
  return found == of_run_.end() ? std::string() : found->second;
}

}  // namespace orrery

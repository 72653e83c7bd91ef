#include "app/commands/chat_turns.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "app/commands/console.h"

namespace orrery {

std::optional<std::string> ChatTurns::next() {
  if (at_ == given_.size()) return std::nullopt;
  if (given_[at_] != "-") return given_[at_++];
  const bool asks = isatty(STDIN_FILENO) != 0;
  if (asks) std::fputs("> ", stderr);
  std::string line;
  const bool read = static_cast<bool>(std::getline(std::cin, line));
  if (line.ends_with('\r')) line.pop_back();
  if (read && !line.empty()) return line;
  if (!read && asks) std::fputs("\n", stderr);
  ++at_;
  return next();
}

}  // namespace orrery

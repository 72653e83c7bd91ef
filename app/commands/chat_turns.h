// The user's turns of a chat on the command line: the values of --chat in their order, of which "-" stands for the
// lines of stdin.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace orrery {

class ChatTurns {
 public:
  explicit ChatTurns(std::vector<std::string> given) : given_(std::move(given)) {}

  // The next turn; nothing once all were taken. At "-" reads a line, asking for it on stderr where stdin
  // is a terminal; an empty line or the end of
  // stdin ends the chat.
  std::optional<std::string> next();

 private:
  std::vector<std::string> given_;
  size_t at_ = 0;
};

}  // namespace orrery

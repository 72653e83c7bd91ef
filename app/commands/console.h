// What the program says: text for people goes to stderr, results to stdout. Strings that come from files or from a
// model never reach a terminal as control sequences.
#pragma once

#include <atomic>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace orrery {

// Control characters (C0, DEL, C1) but line feed and tab as U+FFFD; invalid UTF-8 too.
std::string printable(std::string_view text);

// One line to stderr, printable.
void say(std::string_view line);
// To stdout, flushed. False where nobody reads any more.
bool print(std::string_view text);
// One object and a line feed to stdout; invalid UTF-8 in strings becomes U+FFFD.
void print_json(const nlohmann::json& object);

// A line of progress that overwrites itself: on a terminal only. Cleared by an empty text.
void show_progress(std::string_view line);
bool stdout_is_terminal();

// Set by Ctrl-C and by SIGTERM once catch_interrupts() was called; a second one ends the program at once.
const std::atomic<bool>& interrupted();
void catch_interrupts();

// 1536 -> "1.5 KiB".
std::string bytes_text(int64_t n_bytes);

}  // namespace orrery

#include "app/commands/console.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/text.h"

namespace orrery {
namespace {

std::atomic<bool> g_interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void on_signal(int signal) {
  if (g_interrupted.exchange(true)) _exit(128 + signal);
}

bool g_progress_shown = false;

void write_stderr(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t n = utf8_character(text.substr(at));
    const auto first = static_cast<unsigned char>(text[at]);
    const bool c0 = n == 1 && (first < 0x20 || first == 0x7F) && first != '\n' && first != '\t';
    const bool c1 = n == 2 && first == 0xC2 && static_cast<unsigned char>(text[at + 1]) < 0xA0;
    if (n == 0 || c0 || c1) {
      result += "\xEF\xBF\xBD";
    } else {
      result += text.substr(at, n);
    }
    at += n == 0 ? 1 : n;
  }
  return result;
}

void say(std::string_view line) {
  show_progress({});
  write_stderr(printable(line) + "\n");
}

bool print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) return false;
  return std::fflush(stdout) == 0;
}

void print_json(const nlohmann::json& object) {
  print(object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void show_progress(std::string_view line) {
  static const bool kTerminal = isatty(STDERR_FILENO) != 0;
  if (!kTerminal || (line.empty() && !g_progress_shown)) return;
  write_stderr("\r\x1b[K" + printable(line));
  g_progress_shown = !line.empty();
}

bool stdout_is_terminal() { return isatty(STDOUT_FILENO) != 0; }

const std::atomic<bool>& interrupted() { return g_interrupted; }

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a reader that went away ends the run, not the program in the middle of a write
}

std::string bytes_text(int64_t n_bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(n_bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return buffer;
}

}  // namespace orrery

// A thousand damaged files through the program itself, as a user would hand them over: it ends by itself in time with
// exit status 0, 1 or 2, and says why in a sentence where it is not 0. Seeded: every build sees the same files.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/fuzz/scratch_files.h"

namespace orrery::testing {
namespace {

namespace fs = std::filesystem;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // they reserve more address space than there is memory
#else
constexpr bool kSanitized = false;
#endif
constexpr rlim_t kMostBytes = rlim_t{8} << 30;
constexpr auto kMostTime = std::chrono::seconds(20);

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Outcome {
  int status = -1;  // exit status; -1: a signal, or too slow
  std::string said;
};

// Runs the program with these arguments, what it says on stderr into `log`.
Outcome run_program(const std::vector<std::string>& arguments, const fs::path& log) {
  std::vector<char*> argv = {const_cast<char*>(ORRERY_PROGRAM)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!kSanitized) {
      const rlimit memory{kMostBytes, kMostBytes};
      ::setrlimit(RLIMIT_AS, &memory);
    }
    if (std::freopen("/dev/null", "w", stdout) == nullptr || std::freopen(log.c_str(), "w", stderr) == nullptr) {
      ::_exit(126);
    }
    ::execv(ORRERY_PROGRAM, argv.data());
    ::_exit(127);
  }
  const auto deadline = std::chrono::steady_clock::now() + kMostTime;
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      return {.status = -1, .said = "still running after 20 s"};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const std::string said = read_file(log);
  if (WIFSIGNALED(status)) return {.status = -1, .said = "signal " + std::to_string(WTERMSIG(status)) + "; " + said};
  return {.status = WEXITSTATUS(status), .said = said};
}

using Random = std::mt19937_64;

size_t below(Random& random, size_t n) { return n == 0 ? 0 : static_cast<size_t>(random() % n); }

// Damage as strangers' files have it: flipped bits, numbers at their extremes, pieces cut, doubled or swapped.
void damage(std::string& bytes, size_t reach, Random& random) {
  const size_t n = std::min(reach, bytes.size());
  if (n == 0) return;
  static constexpr std::array<uint64_t, 9> kExtremes = {
      0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 1ull << 40};
  const size_t at = below(random, n);
  switch (random() % 7) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << (random() % 8)));
      break;
    case 1:
      bytes[at] = static_cast<char>(random());
      break;
    case 2: {
      const uint64_t extreme = kExtremes[random() % kExtremes.size()];
      const size_t width = std::min<size_t>(random() % 2 == 0 ? 4 : 8, bytes.size() - at);
      std::memcpy(bytes.data() + at, &extreme, width);
      break;
    }
    case 3:
      bytes.resize(at);
      break;
    case 4:
      bytes.erase(at, 1 + below(random, 40));
      break;
    case 5: {
      const std::string piece = bytes.substr(at, 1 + below(random, 60));
      bytes.insert(below(random, n), piece);
      break;
    }
    default:
      std::swap(bytes[at], bytes[below(random, n)]);
  }
}

// In JSON text: a number, word or bracket put in the place of another piece.
void damage_json(std::string& text, Random& random) {
  static constexpr std::array<const char*, 16> kPieces = {
      "-1", "0",  "1e999",    "9223372036854775807", "18446744073709551616", "null", "true", "\"x\"",
      "[]", "{}", "[[[[[[[[", "\"\\ud800\"",         "4294967296",           "0.5",  "}",    "\xff\xfe"};
  const size_t at = below(random, text.size());
  const size_t colon = text.find_first_of(":,[", at);
  if (colon == std::string::npos || random() % 4 == 0) return damage(text, text.size(), random);
  const size_t end = text.find_first_of(",}]\n", colon + 1);
  text.replace(colon + 1, end == std::string::npos ? 1 : end - colon - 1, kPieces[random() % kPieces.size()]);
}

// One kind of file and what is asked of the program about it.
struct Kind {
  std::string name;
  uint64_t seed;
  int n_files;
  fs::path original;  // a file, or a folder of which `part` is damaged
  std::string part;   // empty for a file
  size_t reach;       // bytes from the start that are damaged: headers, not weights
  bool json;
  std::vector<std::vector<std::string>> commands;  // "@" stands for the path; they take turns
};

std::vector<Kind> kinds() {
  const fs::path assets = fs::path(ORRERY_SOURCE_DIR) / "assets";
  const std::vector<std::vector<std::string>> model = {
      {"info", "@"},
      {"logits", "--model", "@", "--tokens", "1,2,3", "--threads", "1", "--out", "/dev/null"},
      {"tokenize", "--model", "@", "--text", "Hello, wörld  12"},
      {"info", "@", "--json"}};
  const std::vector<std::vector<std::string>> session = {
      {"info", "@"},
      {"export", "@", "--probe", "attention.top", "--out", "/dev/stdout.json"},
      {"shot", "@", "--view", "attention", "--out", "/dev/stdout.svg"},
      {"verify", "@"},
      {"info", "@", "--json"}};
  return {
      {"gguf", 1, 250, assets / "models/tiny-llama-c.q4_0.gguf", "", 6000, false, model},
      {"gguf_with_text", 2, 250, assets / "models/tiny-text.q8_0.gguf", "", 40000, false, model},
      {"config", 3, 150, assets / "models/tiny-llama-e", "config.json", 1 << 20, true, model},
      {"safetensors", 4, 150, assets / "models/tiny-llama-e", "model.safetensors", 3000, false, model},
      {"session", 5, 200, assets / "sessions/schema2.orrery", "", 1 << 20, false, session},
  };
}

class MutatedFiles : public ::testing::TestWithParam<Kind> {};

TEST_P(MutatedFiles, EndInTimeWithASentence) {
  const Kind& kind = GetParam();
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "model";
  if (!kind.part.empty()) fs::copy(kind.original, folder);
  const fs::path original = kind.part.empty() ? kind.original : kind.original / kind.part;
  const fs::path target = kind.part.empty() ? scratch.path() / kind.original.filename() : folder / kind.part;
  const std::string sound = read_file(original);
  ASSERT_FALSE(sound.empty()) << original;
  int n_refused = 0;
  for (int i = 0; i < kind.n_files; ++i) {
    Random random(static_cast<uint64_t>(i) * 1000003 + kind.seed);
    std::string bytes = sound;
    for (size_t k = 0; k <= random() % 3; ++k)
      kind.json ? damage_json(bytes, random) : damage(bytes, kind.reach, random);
    std::ofstream(target, std::ios::binary | std::ios::trunc) << bytes;
    std::vector<std::string> command = kind.commands[static_cast<size_t>(i) % kind.commands.size()];
    for (std::string& word : command) {
      if (word == "@") word = kind.part.empty() ? target.string() : folder.string();
      if (word.starts_with("/dev/stdout.")) word = (scratch.path() / ("out" + word.substr(11))).string();
    }
    const Outcome outcome = run_program(command, scratch.path() / "log");
    EXPECT_TRUE(outcome.status >= 0 && outcome.status <= 2)
        << "file " << i << ", " << command[0] << ": status " << outcome.status << ", said: " << outcome.said;
    if (outcome.status == 0) continue;
    ++n_refused;
    EXPECT_GT(outcome.said.size(), 10u) << "file " << i << ": no sentence";
    EXPECT_EQ(outcome.said.find("terminate called"), std::string::npos) << outcome.said;
    EXPECT_EQ(outcome.said.find("Sanitizer"), std::string::npos) << outcome.said;
  }
  EXPECT_GT(n_refused, kind.n_files / 10) << "the damage is too mild to mean anything";
  RecordProperty("refused", n_refused);
}

INSTANTIATE_TEST_SUITE_P(All, MutatedFiles, ::testing::ValuesIn(kinds()),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace orrery::testing

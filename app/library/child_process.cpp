#include "app/library/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>

namespace orrery {
namespace {

constexpr std::chrono::milliseconds kPollInterval{100};
constexpr std::chrono::seconds kPatienceWithACancelledChild{2};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

std::vector<std::string> environment_of(const ChildProcess& child) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string variable = *entry;
    bool replaced = false;
    for (const auto& [name, value] : child.environment) replaced = replaced || variable.starts_with(name + "=");
    if (!replaced) variables.push_back(variable);
  }
  for (const auto& [name, value] : child.environment) variables.push_back(name + "=" + value);
  return variables;
}

// What the child starts with: standard input empty, output and error in one file, no other open file, no signal blocked
// or ignored.
class SpawnSetup {
 public:
  explicit SpawnSetup(const std::string& output) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions_, STDOUT_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  posix_spawn_file_actions_t* actions() { return &actions_; }
  posix_spawnattr_t* attributes() { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

int exit_status(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

}  // namespace

Result<int> run_child(const ChildProcess& child, const std::function<void()>& poll, const std::atomic<bool>* cancel) {
  CHECK(!child.arguments.empty());
  std::vector<std::string> arguments = child.arguments;
  std::vector<std::string> environment = environment_of(child);
  const std::string& program = child.arguments.front();
  SpawnSetup setup(child.output.string());
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, program.c_str(), setup.actions(), setup.attributes(), pointers(arguments).data(),
                                 pointers(environment).data());
  if (error != 0) {
    return Error{error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                 "cannot start the program (" + std::generic_category().message(error) + "): " + program};
  }
  bool cancelled = false;
  auto kill_at = std::chrono::steady_clock::time_point::max();
  while (true) {
    int wait_status = 0;
    const pid_t ended = waitpid(pid, &wait_status, WNOHANG);
    if (ended == pid) {
      if (cancelled) return Error{ErrorCode::kCancelled, "cancelled: " + program};
      return exit_status(wait_status);
    }
    if (ended < 0 && errno != EINTR) return Error{ErrorCode::kIo, "lost sight of the program: " + program};
    const auto now = std::chrono::steady_clock::now();
    if (!cancelled && cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
      cancelled = true;
      kill_at = now + kPatienceWithACancelledChild;
      kill(pid, SIGTERM);
    }
    if (now >= kill_at) kill(pid, SIGKILL);
    if (poll && !cancelled) poll();
    std::this_thread::sleep_for(kPollInterval);
  }
}

}  // namespace orrery

// Runs another program without a shell, and waits for it.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/result.h"

namespace orrery {

struct ChildProcess {
  std::vector<std::string> arguments;  // the program, found on PATH, and what it is given; at least one
  std::vector<std::pair<std::string, std::string>> environment;  // set in the child beside what this process has
  std::filesystem::path output;                                  // gets its standard output and error; replaced
};

// Starts the child with an empty standard input and none of this process's open files, and blocks until it ends.
// `poll`, where there is one, is called about every 100 ms on the calling thread. When `cancel` becomes true the child
// is asked to end, killed two seconds later, and kCancelled is returned. Otherwise the result is the child's exit
// status; 128 + the signal where one ended it. kNotFound when there is no such program, kIo when it cannot be started.
Result<int> run_child(const ChildProcess& child, const std::function<void()>& poll = {},
                      const std::atomic<bool>* cancel = nullptr);

}  // namespace orrery

// CHECK and DCHECK: for what only a bug in Orrery can cause. What a user, a file or a device can cause returns a Result.
#pragma once

namespace orrery {

inline const char* check_message(const char* message = "") { return message; }

// Prints file, line, condition and message to stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* message);

}  // namespace orrery

// CHECK(condition) or CHECK(condition, "message"); always on.
#define CHECK(condition, ...)                                                                        \
  do {                                                                                               \
    if (!(condition)) [[unlikely]] ::orrery::check_failed(__FILE__, __LINE__, #condition, ::orrery::check_message(__VA_ARGS__)); \
  } while (false)

// As CHECK, in debug builds only: for hot loops.
#ifdef NDEBUG
#define DCHECK(condition, ...) \
  do {                         \
  } while (false && (condition))
#else
#define DCHECK(...) CHECK(__VA_ARGS__)
#endif

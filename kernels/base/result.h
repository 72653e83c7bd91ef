// Result<T>: a value or an Error that a user, a file or a device can cause.
// Keeps the member names of std::expected (C++23), so that it can be swapped for it later.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "kernels/base/check.h"

namespace orrery {

enum class ErrorCode {
  kInvalidArgument,  // an option or a value given by the user
  kInvalidFile,      // a file whose bytes break its format
  kUnsupported,      // well formed, but not something this build can do
  kNotFound,
  kIo,
  kOutOfMemory,
  kCancelled,
  kBusy,      // another program holds it
  kMismatch,  // two things that should agree do not
};

struct Error {
  ErrorCode code = ErrorCode::kInvalidArgument;
  std::string message;  // one sentence: what, which file or option, the offending value last
};

template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit as in std::expected
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { CHECK(has_value(), error_text()); return std::get<0>(state_); }
  const T& value() const& { CHECK(has_value(), error_text()); return std::get<0>(state_); }
  T&& value() && { CHECK(has_value(), error_text()); return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { CHECK(!has_value(), "error() of a Result that holds a value"); return std::get<1>(state_); }

 private:
  const char* error_text() const { return has_value() ? "" : std::get<1>(state_).message.c_str(); }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT

  bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  void value() const { CHECK(has_value(), error_ ? error_->message.c_str() : ""); }
  const Error& error() const { CHECK(error_.has_value(), "error() of a Result that holds a value"); return *error_; }

 private:
  std::optional<Error> error_;
};

}  // namespace orrery

#define ORRERY_CONCAT_INNER(a, b) a##b
#define ORRERY_CONCAT(a, b) ORRERY_CONCAT_INNER(a, b)

// Passes an error on to the caller: ORRERY_RETURN_IF_ERROR(store.close());
#define ORRERY_RETURN_IF_ERROR(expression)                                    \
  do {                                                                        \
    if (auto orrery_status = (expression); !orrery_status.has_value()) {      \
      return orrery_status.error();                                           \
    }                                                                         \
  } while (false)

// Binds a value or passes the error on: ORRERY_ASSIGN_OR_RETURN(auto file, MappedFile::open(path));
#define ORRERY_ASSIGN_OR_RETURN(declaration, expression) \
  ORRERY_ASSIGN_OR_RETURN_INNER(ORRERY_CONCAT(orrery_result_, __LINE__), declaration, expression)
#define ORRERY_ASSIGN_OR_RETURN_INNER(result, declaration, expression) \
  auto result = (expression);                                          \
  if (!result.has_value()) return result.error();                      \
  declaration = std::move(result).value()

// One GET over http or https, by libcurl, with redirects followed under rules of our own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/library/web_address.h"
#include "kernels/base/result.h"

namespace orrery {

// How long a server is waited for. A transfer that brings fewer than `stall_bytes` in any `stall_time` is given up.
struct HttpPatience {
  std::chrono::milliseconds connect_time{20'000};
  std::chrono::milliseconds stall_time{30'000};
  uint64_t stall_bytes = 4096;
};

struct HttpRequest {
  WebAddress address;
  std::vector<std::string> headers = {};  // "Accept: text/html"
  std::string bearer_token = {};          // goes to the origin of `address` only, never along with a redirect elsewhere
  uint64_t offset = 0;                    // not 0: asks for the bytes from here on
  std::string if_range = {};              // with an offset: the validator of the bytes that are there
  std::string ca_file = {};               // certificates to trust instead of the system's
  std::string proxy = {};                 // instead of what the environment says (http_proxy, https_proxy, no_proxy)
};

// What a server answered, redirects followed.
struct HttpReply {
  int status = 0;
  std::string address;                 // of the last request, as WebAddress::shown
  std::optional<uint64_t> n_bytes;     // of the body that follows, where the server says
  std::optional<uint64_t> range_from;  // of Content-Range
  std::optional<uint64_t> range_total;
  std::string etag;
  std::string last_modified;
  std::string content_type;
  std::optional<int> retry_after_s;
};

// Takes a reply as it comes, on the calling thread. An error ends the transfer and is its result. Both are only called
// for the statuses 200 and 206.
struct HttpSink {
  std::function<Result<void>(const HttpReply&)> begin;             // once, before the first byte
  std::function<Result<void>(std::string_view bytes)> take_bytes;  // may be empty
};

struct HttpOutcome {
  HttpReply reply;               // status 0: there was none
  std::optional<Error> failure;  // of the network, the sink or the cancelling; no status is a failure by itself
  bool passing = false;          // the failure may pass: it is worth another try
};

// At most 10 redirects, to http and https only, never from https to http. A reply that is shorter than the server said
// is a passing failure, what exceeds it is not read. Blocks: not for the UI thread. kIo, kUnsupported (a redirect that
// is refused), kCancelled, and the sink's errors.
HttpOutcome http_get(const HttpRequest& request, const HttpSink& sink, const HttpPatience& patience = {},
                     const std::atomic<bool>* cancel = nullptr);

// Whether a status says that the same request may succeed later: 408, 425, 429, 500, 502, 503, 504.
bool is_passing_status(int status);

// The sentence for a status that is not what was asked for: kNotFound for 404 and 410, kUnsupported for 401 and 403
// (access), kIo for others.
Error status_error(const HttpReply& reply);

// What an address answers, whatever its status; the text is that of a reply with status 200 and has at most max_bytes.
// Tried up to three times where failures pass, after `first_wait`, then twice that. Errors of http_get; kInvalidFile
// where the text is longer.
struct HttpText {
  HttpReply reply;
  std::string text;
};
Result<HttpText> http_text(const HttpRequest& request, size_t max_bytes, const HttpPatience& patience,
                           std::chrono::milliseconds first_wait, const std::atomic<bool>* cancel);

// Waits; false, and early, when cancelled.
bool wait_unless_cancelled(std::chrono::milliseconds time, const std::atomic<bool>* cancel);

}  // namespace orrery

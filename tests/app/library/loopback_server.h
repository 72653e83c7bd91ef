// A web server on this machine's loopback that does as a test says: serves, stalls, breaks off, lies, leads elsewhere.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace orrery {

class LoopbackServer {
 public:
  struct Request {
    std::string target;                          // "/a/b?c"
    std::map<std::string, std::string> headers;  // names in lower case
    std::string header(const std::string& name) const {
      const auto found = headers.find(name);
      return found == headers.end() ? std::string() : found->second;
    }
    // Of "Range: bytes=N-"; 0 where there is none.
    uint64_t offset() const {
      const std::string range = header("range");
      return range.starts_with("bytes=") ? std::strtoull(range.c_str() + 6, nullptr, 10) : 0;
    }
  };

  // One answer being given. The connection is closed after it.
  class Reply {
   public:
    Reply(int socket, const std::atomic<bool>& stopping) : socket_(socket), stopping_(stopping) {}
    void head(int status, const std::vector<std::string>& headers) {
      std::string text = "HTTP/1.1 " + std::to_string(status) + " Status\r\nConnection: close\r\n";
      for (const std::string& header : headers) text += header + "\r\n";
      send(text + "\r\n");
    }
    void whole(int status, std::vector<std::string> headers, const std::string& body) {
      headers.push_back("Content-Length: " + std::to_string(body.size()));
      head(status, headers);
      send(body);
    }
    // A file with an ETag, from the offset that was asked for, where the validator fits.
    void file(const Request& request, const std::string& body, const std::string& etag) {
      const uint64_t offset = request.header("if-range") == etag ? request.offset() : 0;
      if (offset == 0) return whole(200, {"ETag: " + etag}, body);
      whole(206,
            {"ETag: " + etag, "Content-Range: bytes " + std::to_string(offset) + "-" + std::to_string(body.size() - 1) +
                                  "/" + std::to_string(body.size())},
            body.substr(std::min<size_t>(offset, body.size())));
    }
    void send(std::string_view bytes) {
      while (!bytes.empty()) {
        const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) return;
        bytes.remove_prefix(static_cast<size_t>(n));
      }
    }
    // Says nothing more until the other side has gone or the server ends.
    void stall() const {
      char byte = 0;
      while (!stopping_ && recv(socket_, &byte, 1, 0) != 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }

   private:
    int socket_;
    const std::atomic<bool>& stopping_;
  };

  using Handler = std::function<void(const Request&, Reply&)>;

  LoopbackServer() {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { accept_all(); });
  }
  ~LoopbackServer() { stop(); }
  // Once it is back, no handler runs any more: to be called before what handlers use is gone.
  void stop() {
    if (!accepting_.joinable()) return;
    stopping_ = true;
    shutdown(listener_, SHUT_RDWR);
    accepting_.join();
    close(listener_);
    for (std::thread& thread : threads_) thread.join();
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  // What a path (without its query) answers; set anew, it replaces what was. Unknown paths are 404.
  void on(const std::string& path, Handler handler) {
    const std::lock_guard lock(mutex_);
    handlers_[path] = std::move(handler);
  }
  void serve(const std::string& path, const std::string& body, const std::string& etag = "\"v1\"") {
    on(path, [=](const Request& request, Reply& reply) { reply.file(request, body, etag); });
  }
  void redirect(const std::string& path, const std::string& to, int status = 302) {
    on(path, [=](const Request&, Reply& reply) { reply.whole(status, {"Location: " + to}, "see there"); });
  }

  std::string address(const std::string& path, const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(port_) + path;
  }
  // The requests for a path so far; all where it is empty.
  std::vector<Request> requests(const std::string& path = {}) const {
    const std::lock_guard lock(mutex_);
    std::vector<Request> found;
    for (const Request& request : requests_) {
      if (path.empty() || path_of(request) == path) found.push_back(request);
    }
    return found;
  }

 private:
  static std::string path_of(const Request& request) { return request.target.substr(0, request.target.find('?')); }

  void accept_all() {
    while (!stopping_) {
      const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) continue;
      timeval patience{.tv_sec = 0, .tv_usec = 100'000};
      setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
      threads_.emplace_back([this, connection] { answer(connection); });
    }
  }

  void answer(int connection) {
    std::string text;
    char buffer[4096];
    while (!stopping_ && text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = recv(connection, buffer, sizeof(buffer), 0);
      if (n == 0) break;
      if (n > 0) text.append(buffer, static_cast<size_t>(n));
    }
    if (text.find("\r\n\r\n") != std::string::npos) {
      const Request request = parse(text);
      Handler handler = [](const Request&, Reply& reply) { reply.whole(404, {}, "no such page"); };
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
        const auto found = handlers_.find(path_of(request));
        if (found != handlers_.end()) handler = found->second;
      }
      Reply reply(connection, stopping_);
      handler(request, reply);
    }
    shutdown(connection, SHUT_WR);
    close(connection);
  }

  static Request parse(const std::string& text) {
    Request request;
    size_t at = text.find(' ') + 1;
    request.target = text.substr(at, text.find(' ', at) - at);
    for (at = text.find("\r\n") + 2; at < text.size() && text[at] != '\r';) {
      const size_t end = text.find("\r\n", at);
      const size_t colon = text.find(": ", at);
      std::string name = text.substr(at, colon - at);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      if (colon < end) request.headers[name] = text.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return request;
  }

  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::map<std::string, Handler> handlers_;
  std::vector<Request> requests_;
  std::list<std::thread> threads_;
  std::thread accepting_;
};

}  // namespace orrery

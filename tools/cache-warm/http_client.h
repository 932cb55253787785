// HttpClient asks the daemon, many requests at a time over kept-alive
// connections. Wraps libcurl. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "reply.h"

namespace holdfast::warm {

class HttpClient {
 public:
  struct Ended {
    std::uint64_t tag = 0;
    Reply reply;
  };

  // Throws std::runtime_error if libcurl cannot be set up.
  // `host` is sent as Host; empty: the URL's.
  explicit HttpClient(std::string base_url, std::string host = "");
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // GET base_url + path. `cache_control` may be empty. Its end comes from wait().
  void start(std::uint64_t tag, const std::string& path, const std::string& cache_control,
             base::Duration timeout);

  // Blocks until some request ended, `interrupt_fd` is readable, or `most` is over.
  std::vector<Ended> wait(base::Duration most, int interrupt_fd);

  std::size_t running() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::warm

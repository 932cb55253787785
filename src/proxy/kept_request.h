// KeptRequest is what of a request makes a key, for later: its views are of the connection's
// buffers. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/request.h"

namespace holdfast::proxy {

class KeptRequest {
 public:
  explicit KeptRequest(const http::Request& request);
  KeptRequest(const KeptRequest&) = delete;
  KeptRequest& operator=(const KeptRequest&) = delete;

  // Its method, path, query and fields, its client and when it came. Without a content.
  const http::Request& request() const { return request_; }

 private:
  std::string text_;
  std::vector<http::FieldLine> fields_;
  http::Request request_;
};

}  // namespace holdfast::proxy

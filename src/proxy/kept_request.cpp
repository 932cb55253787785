#include "proxy/kept_request.h"

#include <cstddef>

namespace holdfast::proxy {

KeptRequest::KeptRequest(const http::Request& request) {
  std::size_t bytes = request.method_name.size() + request.path.size() + request.query.size() +
                      request.client.size();
  for (const std::string_view known : request.known) bytes += known.size();
  for (const http::FieldLine& line : request.fields) bytes += line.name.size() + line.value.size();
  // Never moved from here on, as it never grows.
  text_.reserve(bytes);
  const auto keep = [this](std::string_view text) -> std::string_view {
    if (text.data() == nullptr) return {};  // which says that it was not there
    const std::size_t at = text_.size();
    text_ += text;
    return {text_.data() + at, text.size()};
  };
  request_.method = request.method;
  request_.method_name = keep(request.method_name);
  request_.path = keep(request.path);
  request_.query = keep(request.query);
  request_.client = keep(request.client);
  request_.received = request.received;
  request_.http10 = request.http10;
  for (std::size_t i = 0; i < request.known.size(); ++i) {
    request_.known[i] = keep(request.known[i]);
  }
  fields_.reserve(request.fields.size());
  for (const http::FieldLine& line : request.fields) {
    fields_.push_back({keep(line.name), keep(line.value)});
  }
  request_.fields = fields_;
}

}  // namespace holdfast::proxy

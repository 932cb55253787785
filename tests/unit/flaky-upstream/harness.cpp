#include "harness.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <simdjson.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>

#include "geo_answer.h"
#include "patience.h"
#include "text.h"

namespace holdfast::flaky {

std::string Reply::field(std::string_view name) const {
  for (const auto line : split(head, '\n')) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    if (equals_ignoring_case(line.substr(0, colon), name)) {
      return std::string(trim(line.substr(colon + 1)));
    }
  }
  return "";
}

Client::Client(std::uint16_t port, const char* to)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval patience{kPatience.count(), 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  REQUIRE(::inet_pton(AF_INET, to, &address.sin_addr) == 1);
  connected_ =
      ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  refused_ = !connected_ && errno == ECONNREFUSED;
}

ssize_t Client::receive(char* to, std::size_t most) {
  return ::recv(fd_.get(), to, most, 0);
}

ssize_t Client::transmit(const char* from, std::size_t most) {
  return ::send(fd_.get(), from, most, MSG_NOSIGNAL);
}

void Client::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto put = transmit(bytes.data(), bytes.size());
    if (put < 0) return;  // reading will tell why
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
}

bool Client::read_more() {
  char bytes[16 << 10];
  const auto got = receive(bytes, sizeof bytes);
  if (got > 0) {
    buffer_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }
  if (got < 0 && errno != ECONNRESET) FAIL("no byte came for ten seconds");
  ended_ = got == 0 ? Ended::Fin : Ended::Rst;
  return false;
}

Reply Client::parse(bool to_the_end) {
  std::size_t blank = std::string::npos;
  while ((blank = buffer_.find("\r\n\r\n")) == std::string::npos && read_more()) {
  }
  Reply reply;
  if (blank == std::string::npos) {
    reply.content = std::move(buffer_);
    reply.ended = ended_;
    return reply;
  }
  reply.head = buffer_.substr(0, blank);
  buffer_.erase(0, blank + 4);
  if (reply.head.starts_with("HTTP/1.1 ")) {
    std::from_chars(reply.head.data() + 9, reply.head.data() + 12, reply.status);
  }
  std::size_t length = 0;
  const auto stated = reply.field("Content-Length");
  std::from_chars(stated.data(), stated.data() + stated.size(), length);
  while ((to_the_end || buffer_.size() < length) && read_more()) {
  }
  reply.content = buffer_.substr(0, to_the_end ? buffer_.size() : length);
  buffer_.erase(0, reply.content.size());
  reply.ended = ended_;
  return reply;
}

Reply Client::read() {
  return parse(false);
}

Reply Client::read_all() {
  return parse(true);
}

std::string get(std::string_view target, std::string_view more_fields) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: test\r\n" + std::string(more_fields) +
         "\r\n";
}

Reply ask(std::uint16_t port, std::string_view target, std::string_view more_fields) {
  Client client(port);
  client.write(get(target, "Connection: close\r\n" + std::string(more_fields)));
  return client.read_all();
}

Reply Instance::put(std::string_view target, std::string_view content) {
  Client client(control_port_);
  client.write("PUT " + std::string(target) +
               " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(content.size()) +
               "\r\nConnection: close\r\n\r\n" + std::string(content));
  return client.read_all();
}

std::uint64_t Instance::count(std::string_view name) {
  return number_after(control("/stats").content, name);
}

void Instance::wait(std::string_view condition) {
  const auto reply = control("/wait?" + std::string(condition));
  INFO(condition << " did not come about: " << reply.content);
  REQUIRE(reply.status == 200);
}

std::uint64_t number_after(std::string_view json, std::string_view name) {
  const auto key = "\"" + std::string(name) + "\":";
  const auto found = json.find(key);
  REQUIRE(found != std::string_view::npos);
  std::uint64_t value = 0;
  const auto* begin = json.data() + found + key.size();
  REQUIRE(std::from_chars(begin, json.data() + json.size(), value).ec == std::errc());
  return value;
}

std::string truth(std::string_view ip) {
  return geo_answer(*parse_address(ip));
}

bool is_json(std::string_view text) {
  simdjson::dom::parser parser;
  return parser.parse(simdjson::padded_string(text)).error() == simdjson::SUCCESS;
}

}  // namespace holdfast::flaky

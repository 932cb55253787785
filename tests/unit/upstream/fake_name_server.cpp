#include "fake_name_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstdint>
#include <stdexcept>

namespace holdfast::upstream::test {
namespace {

constexpr int kTypeA = 1;
constexpr int kTypeAaaa = 28;
constexpr int kTypeCname = 5;

void put16(std::string& to, int value) {
  to += static_cast<char>((value >> 8) & 0xff);
  to += static_cast<char>(value & 0xff);
}

void put_record(std::string& to, const std::string& owner, int type, std::chrono::seconds ttl,
                const std::string& data) {
  to += owner;
  put16(to, type);
  put16(to, 1);  // IN
  put16(to, static_cast<int>(ttl.count() >> 16));
  put16(to, static_cast<int>(ttl.count() & 0xffff));
  put16(to, static_cast<int>(data.size()));
  to += data;
}

std::string as_labels(std::string name) {
  std::string labels;
  while (!name.empty()) {
    const std::string label = name.substr(0, name.find('.'));
    name.erase(0, label.size() + 1);
    labels += static_cast<char>(label.size());
    labels += label;
  }
  return labels + '\0';
}

}  // namespace

FakeNameServer::FakeNameServer()
    : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), stop_(::eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("cannot bind a name server");
  }
  address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  thread_ = std::thread([this] { run(); });
}

FakeNameServer::~FakeNameServer() {
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void FakeNameServer::set(const std::string& name, const Record& v4, const Record& v6) {
  const std::lock_guard lock(mutex_);
  records_[name] = {v4, v6};
}

int FakeNameServer::asked(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = asked_.find(name);
  return found == asked_.end() ? 0 : found->second;
}

void FakeNameServer::run() {
  while (true) {
    pollfd fds[]{{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    ::poll(fds, 2, -1);
    if (fds[1].revents != 0) return;
    char buffer[512];
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const auto length = ::recvfrom(socket_.get(), buffer, sizeof buffer, 0,
                                   reinterpret_cast<sockaddr*>(&from), &size);
    if (length < 17) continue;
    const std::string reply = answer(std::string(buffer, static_cast<std::size_t>(length)));
    if (reply.empty()) continue;
    ::sendto(socket_.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from),
             size);
  }
}

std::string FakeNameServer::answer(const std::string& question) {
  std::string name;
  std::size_t at = 12;
  while (at < question.size() && question[at] != 0) {
    const auto length = static_cast<std::uint8_t>(question[at]);
    name += (name.empty() ? "" : ".") + question.substr(at + 1, length);
    at += 1U + length;
  }
  if (at + 5 > question.size()) return {};
  const int type = static_cast<std::uint8_t>(question[at + 2]);

  const std::lock_guard lock(mutex_);
  ++asked_[name];
  const auto found = records_.find(name);
  Record record{Says::NxDomain, {}, {}, {}, {}};
  if (found != records_.end() && type == kTypeA) record = found->second.first;
  if (found != records_.end() && type == kTypeAaaa) record = found->second.second;
  if (record.says == Says::Nothing) return {};

  std::string reply = question.substr(0, 2);
  const int rcode = record.says == Says::ServFail ? 2 : record.says == Says::NxDomain ? 3 : 0;
  put16(reply, 0x8180 | rcode);  // a recursive server's answer
  put16(reply, 1);
  const bool has_answer = record.says == Says::Addresses && !record.addresses.empty();
  const std::size_t aliases = has_answer && !record.alias.empty() ? 1 : 0;
  put16(reply, has_answer ? static_cast<int>(record.addresses.size() + aliases) : 0);
  put16(reply, 0);
  put16(reply, 0);
  reply += question.substr(12, at + 5 - 12);
  if (!has_answer) return reply;
  std::string owner = "\xc0\x0c";  // the question's name
  if (aliases != 0) {
    const std::string alias = as_labels(record.alias);
    put_record(reply, owner, kTypeCname, record.alias_ttl, alias);
    owner = alias;
  }
  for (const std::string& address : record.addresses) {
    char bytes[16];
    const int family = type == kTypeA ? AF_INET : AF_INET6;
    if (::inet_pton(family, address.c_str(), bytes) != 1) continue;
    put_record(reply, owner, type, record.ttl, std::string(bytes, type == kTypeA ? 4 : 16));
  }
  return reply;
}

}  // namespace holdfast::upstream::test

#include "notify_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <stdexcept>

#include "process.h"

namespace holdfast::scenario {

NotifySocket::NotifySocket(const std::filesystem::path& path)
    : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = path.string();
  if (name.size() >= sizeof address.sun_path) throw std::runtime_error(name + " is too long");
  name.copy(address.sun_path, name.size());
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot bind " + name);
  }
  reader_ = std::thread([this] { read_messages(); });
}

NotifySocket::~NotifySocket() {
  ::shutdown(socket_.get(), SHUT_RD);  // ends the reader
  reader_.join();
}

void NotifySocket::read_messages() {
  std::array<char, 8192> buffer;
  for (;;) {
    const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;  // no message is empty
    const std::lock_guard lock(mutex_);
    messages_.emplace_back(buffer.data(), static_cast<std::size_t>(size));
    changed_.notify_all();
  }
}

std::size_t NotifySocket::wait_for(const std::string& text, std::size_t from) {
  std::unique_lock lock(mutex_);
  std::size_t next = from;
  const bool found = changed_.wait_for(lock, kPatience, [&] {
    while (next < messages_.size() && messages_[next].find(text) == std::string::npos) ++next;
    return next < messages_.size();
  });
  if (found) return next;
  std::string all;
  for (const std::string& message : messages_) all += message + "\n--\n";
  throw std::runtime_error("no message with '" + text + "' came:\n" + all);
}

std::vector<std::string> NotifySocket::messages() const {
  const std::lock_guard lock(mutex_);
  return messages_;
}

}  // namespace holdfast::scenario

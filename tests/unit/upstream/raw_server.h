// RawServer answers one request a connection with exactly the bytes a test
// wants, and ends the connection the way it wants: in order, by a reset, or not
// at all. Threads and blocking sockets, on a port of the kernel's choice.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace holdfast::upstream::test {

class RawServer {
 public:
  // One client's connection, after a request head was read from it.
  class Peer {
   public:
    Peer(int fd, int stop, std::string head) : fd_(fd), stop_(stop), head_(std::move(head)) {}

    const std::string& head() const { return head_; }
    bool asks(const std::string& target) const {
      return head_.starts_with("GET " + target + " HTTP/1.1\r\n");
    }
    void send(const std::string& bytes) const;
    // So many bytes of what follows the head; fewer if the client leaves or the server stops.
    std::string read(std::size_t bytes) const;
    // The same up to that text, with it.
    std::string read_to(std::string_view end) const;
    // The connection will end with an RST instead of a FIN.
    void reset() const;
    // Says nothing until the client leaves or the server stops.
    void hang() const;
    // False if the client left or the server stops.
    bool pause(int ms) const;

   private:
    int fd_;
    int stop_;
    std::string head_;
  };
  // Returns true to read one more request from the same connection.
  using Handler = std::function<bool(const Peer&)>;

  // Where it listens: 127.0.0.1, all of 127.0.0.0/8 and more, or ::1.
  enum class AddressFamily { V4, AnyV4, V6 };

  explicit RawServer(Handler handler, AddressFamily family = AddressFamily::V4);
  ~RawServer();
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  // What it says to each client that comes from now on, before that has said anything.
  void greet(std::string greeting);

  unsigned port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // Every request head so far.
  std::vector<std::string> heads() const;
  std::size_t connections() const;

 private:
  void accept_all();
  void serve(int fd);

  Handler handler_;
  base::UniqueFd listener_;
  base::UniqueFd stop_;
  unsigned port_ = 0;
  mutable std::mutex mutex_;
  std::string greeting_;              // guarded by mutex_
  std::vector<std::string> heads_;    // guarded by mutex_
  std::vector<std::thread> threads_;  // guarded by mutex_
  std::thread acceptor_;
};

}  // namespace holdfast::upstream::test

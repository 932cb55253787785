// Certificates made on the spot, and TlsServer, which answers requests over TLS with
// them. Threads and blocking sockets, on a port of the kernel's choice.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace holdfast::upstream::test {

// In PEM.
struct Identity {
  std::string certificate;
  std::string key;
  std::string both() const { return certificate + key; }
};

// An authority that signs certificates, or itself.
class Authority {
 public:
  explicit Authority(const std::string& name);
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  // Its own certificate.
  std::string certificate() const;
  // For a host's name, or a client's. `days` below nought: it expired so long ago.
  Identity issue(const std::string& name, int days = 30) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// A file that is there while this is.
class TempFile {
 public:
  explicit TempFile(const std::string& content);
  ~TempFile();
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  const std::string& path() const { return path_; }
  // At once, as a package's installation does: never half.
  void replace(const std::string& content) const;

 private:
  std::string path_;
};

class TlsServer {
 public:
  struct Options {
    std::string client_authority;  // PEM; not empty: clients must show a certificate of it
    bool tls12 = false;            // nothing newer
    bool refuses_resumed = false;  // fails handshakes that show a ticket (of TLS 1.2)
    std::string last_answer;       // not empty: this, and the end of TCP without that of TLS
  };

  explicit TlsServer(const Identity& identity) : TlsServer(identity, Options{}) {}
  TlsServer(const Identity& identity, Options options);
  ~TlsServer();
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  std::string url(const std::string& name) const;
  std::vector<std::string> heads() const;
  // Of what ended well.
  int handshakes() const { return handshakes_; }
  int resumed() const { return resumed_; }
  // What the last client offered, in the wire's form; the common name it showed.
  std::string alpn() const;
  std::string client() const;

 private:
  struct Context;

  void accept_all();
  void serve(int fd);

  Options options_;
  std::unique_ptr<Context> context_;
  base::UniqueFd listener_;
  base::UniqueFd stop_;
  unsigned port_ = 0;
  std::atomic<int> handshakes_{0};
  std::atomic<int> resumed_{0};
  mutable std::mutex mutex_;
  std::vector<std::string> heads_;    // guarded by mutex_
  std::string client_;                // guarded by mutex_
  std::vector<std::thread> threads_;  // guarded by mutex_
  std::thread acceptor_;
};

}  // namespace holdfast::upstream::test

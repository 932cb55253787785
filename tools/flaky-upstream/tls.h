// TLS for the service's port, with a certificate that was given or one that is made
// here. Wraps OpenSSL: nothing else in flaky-upstream includes it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "byte_stream.h"

namespace holdfast::flaky {

// Built before the loop runs; then for its thread. Outlives its streams. Ignores SIGPIPE
// for the whole process: OpenSSL writes with write(2).
class Tls {
 public:
  // The chain with the leaf first, and its key, as PEM. Errors: InvalidInput, naming the file.
  static base::Result<std::unique_ptr<Tls>> from_files(const std::string& certificate,
                                                       const std::string& key);

  // A CA and a leaf of its own for those names and IP addresses, good for a month from
  // yesterday on. Errors: InvalidInput (no names), Internal.
  static base::Result<std::unique_ptr<Tls>> make(const std::vector<std::string>& names);

  ~Tls();
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  // The CA's certificate as PEM; empty if the files were given.
  const std::string& ca_pem() const { return ca_pem_; }

  // The server's side; the handshake happens within the first reads and writes. Null if
  // there is no memory.
  std::unique_ptr<ByteStream> stream(int fd) const;

 private:
  struct Context;  // SSL_CTX
  explicit Tls(std::unique_ptr<Context> context);

  std::unique_ptr<Context> context_;
  std::string ca_pem_;
};

}  // namespace holdfast::flaky

// A Client that speaks TLS, and looks at the certificate.
#pragma once

#include <memory>
#include <string>

#include "harness.h"

namespace holdfast::flaky {

class TlsClient final : public Client {
 public:
  // The handshake is over once this returns. `name` is looked for in the certificate; none: nothing
  // of the certificate is looked at.
  TlsClient(std::uint16_t port, const std::string& ca_pem, const std::string& name);
  ~TlsClient() override;

  // Empty, or why there is no connection.
  const std::string& problem() const { return problem_; }
  // After the end: the other side said that it was one (close_notify).
  bool was_told_of_the_end() const { return told_; }

 private:
  ssize_t receive(char* to, std::size_t most) override;
  ssize_t transmit(const char* from, std::size_t most) override;

  struct Session;
  std::unique_ptr<Session> session_;
  std::string problem_;
  bool told_ = false;
};

}  // namespace holdfast::flaky

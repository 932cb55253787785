#include "tls_client.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cerrno>

namespace holdfast::flaky {

struct TlsClient::Session {
  Session() : context(SSL_CTX_new(TLS_client_method())), ssl(SSL_new(context)) {}
  ~Session() {
    SSL_free(ssl);
    SSL_CTX_free(context);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  SSL_CTX* context;
  SSL* ssl;
};

TlsClient::TlsClient(std::uint16_t port, const std::string& ca_pem, const std::string& name)
    : Client(port), session_(std::make_unique<Session>()) {
  SSL* const ssl = session_->ssl;
  REQUIRE(ssl != nullptr);
  if (!name.empty()) {
    BIO* const bio = BIO_new_mem_buf(ca_pem.data(), static_cast<int>(ca_pem.size()));
    X509* const authority = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    REQUIRE(authority != nullptr);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(session_->context), authority);
    X509_free(authority);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
    in6_addr address{};
    const bool numeric = ::inet_pton(AF_INET, name.c_str(), &address) == 1 ||
                         ::inet_pton(AF_INET6, name.c_str(), &address) == 1;
    if (numeric) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
    } else {
      SSL_set1_host(ssl, name.c_str());
    }
  }
  SSL_set_fd(ssl, fd_.get());
  ERR_clear_error();
  if (SSL_connect(ssl) == 1) return;
  const long verdict = SSL_get_verify_result(ssl);
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  problem_ = verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
             : reason != nullptr  ? reason
                                  : "the connection ended";
}

TlsClient::~TlsClient() = default;

ssize_t TlsClient::receive(char* to, std::size_t most) {
  ERR_clear_error();
  errno = 0;
  const int got = SSL_read(session_->ssl, to, static_cast<int>(most));
  if (got > 0) return got;
  switch (SSL_get_error(session_->ssl, got)) {
    case SSL_ERROR_ZERO_RETURN:
      told_ = true;
      return 0;
    case SSL_ERROR_SSL:  // a FIN without a word
      return 0;
    default:  // errno: ECONNRESET, or the patience of the socket
      return errno == 0 ? 0 : -1;
  }
}

ssize_t TlsClient::transmit(const char* from, std::size_t most) {
  ERR_clear_error();
  const int put = SSL_write(session_->ssl, from, static_cast<int>(most));
  return put > 0 ? put : -1;
}

}  // namespace holdfast::flaky

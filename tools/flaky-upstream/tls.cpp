#include "tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <csignal>

#include "certificate.h"

namespace holdfast::flaky {
namespace {

constexpr unsigned char kHttp11[] = "\x08http/1.1";

std::string last_error() {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown error";
}

// HTTP/1.1 is all we speak; a client that offers no more is let in all the same.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* length,
                    const unsigned char* offered, unsigned offered_length, void*) {
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, length, kHttp11, sizeof kHttp11 - 1, offered, offered_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

class TlsStream final : public ByteStream {
 public:
  explicit TlsStream(SSL* ssl) : ssl_(ssl) {}
  ~TlsStream() override { SSL_free(ssl_); }
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  Outcome read(char* to, std::size_t most) override {
    ERR_clear_error();
    std::size_t moved = 0;
    const int result = SSL_read_ex(ssl_, to, most, &moved);
    return outcome(result, moved);
  }

  Outcome write(const char* from, std::size_t most) override {
    ERR_clear_error();
    std::size_t moved = 0;
    const int result = SSL_write_ex(ssl_, from, most, &moved);
    return outcome(result, moved);
  }

  bool has_read_ahead() const override { return SSL_pending(ssl_) > 0; }

  // The alert is one small record: it goes into the socket's buffer or, where that is
  // full, the connection is in no state to be closed well.
  void finish() override {
    ERR_clear_error();
    if (!failed_ && SSL_is_init_finished(ssl_) != 0) (void)SSL_shutdown(ssl_);
  }

 private:
  Outcome outcome(int result, std::size_t moved) {
    if (result == 1) return {State::Moved, moved};
    switch (SSL_get_error(ssl_, result)) {
      case SSL_ERROR_WANT_READ:
        return {State::WaitsForRead, 0};
      case SSL_ERROR_WANT_WRITE:
        return {State::WaitsForWrite, 0};
      case SSL_ERROR_ZERO_RETURN:
        return {State::Ended, 0};
      default:
        failed_ = true;  // OpenSSL allows no SSL_shutdown() after these
        return {State::Ended, 0};
    }
  }

  SSL* ssl_;
  bool failed_ = false;
};

}  // namespace

struct Tls::Context {
  Context() : ctx(SSL_CTX_new(TLS_server_method())) {
    if (ctx == nullptr) return;
    // What is left of a write may be given again from elsewhere.
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_alpn_select_cb(ctx, &choose_protocol, nullptr);
  }
  ~Context() { SSL_CTX_free(ctx); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  SSL_CTX* ctx;
};

Tls::Tls(std::unique_ptr<Context> context) : context_(std::move(context)) {
  std::signal(SIGPIPE, SIG_IGN);
}

Tls::~Tls() = default;

base::Result<std::unique_ptr<Tls>> Tls::from_files(const std::string& certificate,
                                                   const std::string& key) {
  auto context = std::make_unique<Context>();
  if (context->ctx == nullptr) return base::internal_error(base::ErrorKind::Io, last_error());
  if (SSL_CTX_use_certificate_chain_file(context->ctx, certificate.c_str()) != 1) {
    return base::invalid_input(certificate + ": " + last_error());
  }
  if (SSL_CTX_use_PrivateKey_file(context->ctx, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return base::invalid_input(key + ": " + last_error());
  }
  return std::unique_ptr<Tls>(new Tls(std::move(context)));
}

base::Result<std::unique_ptr<Tls>> Tls::make(const std::vector<std::string>& names) {
  if (names.empty()) return base::invalid_input("a certificate needs a name");
  auto context = std::make_unique<Context>();
  const Identity authority = make_authority();
  const Identity leaf = authority.certificate ? make_leaf(authority, names) : Identity{};
  if (context->ctx == nullptr || !leaf.certificate ||
      SSL_CTX_use_certificate(context->ctx, leaf.certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context->ctx, leaf.key.get()) != 1) {
    return base::internal_error(base::ErrorKind::Io, "no certificate: " + last_error());
  }
  std::unique_ptr<Tls> made(new Tls(std::move(context)));
  made->ca_pem_ = to_pem(*authority.certificate);
  return made;
}

std::unique_ptr<ByteStream> Tls::stream(int fd) const {
  SSL* const ssl = SSL_new(context_->ctx);
  if (ssl == nullptr) return nullptr;
  auto stream = std::make_unique<TlsStream>(ssl);
  if (SSL_set_fd(ssl, fd) != 1) return nullptr;
  SSL_set_accept_state(ssl);
  return stream;
}

}  // namespace holdfast::flaky

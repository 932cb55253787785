#include "tls_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <csignal>
#include <stdexcept>

namespace holdfast::upstream::test {
namespace {

constexpr char kAnswer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

X509* certificate_of(const std::string& pem) {
  BIO* const bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* const certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return certificate;
}

void use(SSL_CTX* context, const Identity& identity) {
  X509* const certificate = certificate_of(identity.certificate);
  BIO* const bio = BIO_new_mem_buf(identity.key.data(), static_cast<int>(identity.key.size()));
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  const bool fine = SSL_CTX_use_cert_and_key(context, certificate, key, nullptr, 1) == 1;
  X509_free(certificate);
  EVP_PKEY_free(key);
  if (!fine) throw std::runtime_error("not a server's identity");
}

// Of the client's hello.
std::string extension_of(SSL* ssl, unsigned type) {
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, type, &data, &size) != 1) return {};
  return {reinterpret_cast<const char*>(data), size};
}

std::string name_of(SSL* ssl) {
  X509* const certificate = SSL_get1_peer_certificate(ssl);
  if (certificate == nullptr) return {};
  char name[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  X509_free(certificate);
  return name;
}

}  // namespace

struct TlsServer::Context {
  SSL_CTX* ssl = SSL_CTX_new(TLS_server_method());
  std::string alpn;  // of the handshake under way; one at a time, under the mutex
  std::mutex mutex;
  bool refuses_resumed = false;

  ~Context() { SSL_CTX_free(ssl); }
  static int on_hello(SSL* ssl, int*, void* self) {
    auto& context = *static_cast<Context*>(self);
    const std::lock_guard lock(context.mutex);
    context.alpn = extension_of(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation);
    const bool resumes = !extension_of(ssl, TLSEXT_TYPE_session_ticket).empty();
    return resumes && context.refuses_resumed ? SSL_CLIENT_HELLO_ERROR : SSL_CLIENT_HELLO_SUCCESS;
  }
};

TlsServer::TlsServer(const Identity& identity, Options options)
    : options_(std::move(options)),
      context_(std::make_unique<Context>()),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  SSL_CTX* const ssl = context_->ssl;
  use(ssl, identity);
  context_->refuses_resumed = options_.refuses_resumed;
  SSL_CTX_set_client_hello_cb(ssl, &Context::on_hello, context_.get());
  const unsigned char session_context[] = "holdfast";
  SSL_CTX_set_session_id_context(ssl, session_context, sizeof session_context);
  if (options_.tls12) SSL_CTX_set_max_proto_version(ssl, TLS1_2_VERSION);
  if (!options_.client_authority.empty()) {
    X509* const authority = certificate_of(options_.client_authority);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), authority);
    X509_free(authority);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), 64) != 0 ||
      ::getsockname(listener_.get(), generic, &length) != 0) {
    throw std::runtime_error("cannot listen on loopback");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

TlsServer::~TlsServer() {
  ::eventfd_write(stop_.get(), 1);
  acceptor_.join();
  for (auto& thread : threads_) thread.join();
}

std::string TlsServer::url(const std::string& name) const {
  return "https://" + name + ":" + std::to_string(port_);
}

std::vector<std::string> TlsServer::heads() const {
  const std::lock_guard lock(mutex_);
  return heads_;
}

std::string TlsServer::alpn() const {
  const std::lock_guard lock(context_->mutex);
  return context_->alpn;
}

std::string TlsServer::client() const {
  const std::lock_guard lock(mutex_);
  return client_;
}

void TlsServer::accept_all() {
  for (;;) {
    pollfd waits[] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    ::poll(waits, 2, -1);
    if (waits[1].revents != 0) return;
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void TlsServer::serve(int fd) {
  const base::UniqueFd owned(fd);
  // OpenSSL writes to whoever has left, and knows no MSG_NOSIGNAL.
  sigset_t pipe_signal;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context_->ssl), &SSL_free);
  SSL_set_fd(ssl.get(), fd);
  if (SSL_accept(ssl.get()) != 1) return;
  const bool resumed = SSL_session_reused(ssl.get()) == 1;
  ++handshakes_;
  if (resumed) ++resumed_;
  {
    const std::lock_guard lock(mutex_);
    client_ = name_of(ssl.get());
  }
  for (;;) {
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      pollfd waits[] = {{fd, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (SSL_pending(ssl.get()) == 0) ::poll(waits, 2, -1);
      char byte = 0;
      if (waits[1].revents != 0 || SSL_read(ssl.get(), &byte, 1) != 1) return;
      head.push_back(byte);
    }
    {
      const std::lock_guard lock(mutex_);
      heads_.push_back(head);
    }
    if (const std::string& last = options_.last_answer; !last.empty()) {
      SSL_write(ssl.get(), last.data(), static_cast<int>(last.size()));
      return;
    }
    if (SSL_write(ssl.get(), kAnswer, sizeof kAnswer - 1) <= 0) return;
  }
}

}  // namespace holdfast::upstream::test

#include "upstream/trust_store.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

namespace holdfast::upstream {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Authorities = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;

void free_chain(STACK_OF(X509) * chain) {
  sk_X509_pop_free(chain, X509_free);
}
using Chain = std::unique_ptr<STACK_OF(X509), Freed<free_chain>>;

// Of the thread's last failure in OpenSSL.
std::string openssl_words() {
  const unsigned long code = ERR_get_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "not understood" : reason;
}

Bio open_file(const std::string& path) {
  errno = 0;
  Bio bio(BIO_new_file(path.c_str(), "r"));
  if (!bio) {
    const int error = errno;
    ERR_clear_error();
    throw std::runtime_error(path + ": " + std::generic_category().message(error));
  }
  return bio;
}

// How many there were. One that cannot be read is left out: others may well do.
std::size_t read_authorities(X509_STORE* authorities, const std::string& path) {
  const Bio bio = open_file(path);
  std::size_t count = 0;
  for (;;) {
    const Certificate certificate(PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr));
    if (certificate) {
      if (X509_STORE_add_cert(authorities, certificate.get()) == 1) ++count;
      continue;
    }
    const unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    // Each of the others has taken at least a line.
    const bool over =
        code == 0 || BIO_eof(bio.get()) ||
        (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE);
    if (over) return count;
  }
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->is_regular_file(error)) paths.push_back(entry->path().string());
  }
  return paths;
}

int no_passphrase(char*, int, int, void*) {
  return -1;  // not from the terminal
}

// What tells one state of the files from another.
std::string stamp_of(const TrustStore::Settings& settings) {
  std::vector<std::string> paths{settings.ca_file, settings.client_cert_file,
                                 settings.client_key_file};
  if (!settings.ca_dir.empty()) {
    for (std::string& path : files_in(settings.ca_dir)) paths.push_back(std::move(path));
  }
  std::string stamp;
  for (const std::string& path : paths) {
    struct stat status = {};
    if (path.empty() || ::stat(path.c_str(), &status) != 0) continue;
    stamp += path + ' ' + std::to_string(status.st_dev) + ' ' + std::to_string(status.st_ino) +
             ' ' + std::to_string(status.st_size) + ' ' + std::to_string(status.st_mtim.tv_sec) +
             ' ' + std::to_string(status.st_mtim.tv_nsec) + '\n';
  }
  return stamp;
}

}  // namespace

struct Trust::Parts {
  Authorities authorities;
  Certificate certificate;  // ours; null: none
  Key key;
  Chain chain;
};

namespace {

void read_own(Trust::Parts& parts, const TrustStore::Settings& settings) {
  const std::string& path = settings.client_cert_file;
  const Bio bio = open_file(path);
  parts.certificate.reset(PEM_read_bio_X509_AUX(bio.get(), nullptr, &no_passphrase, nullptr));
  if (!parts.certificate) throw std::runtime_error(path + ": " + openssl_words());
  parts.chain.reset(sk_X509_new_null());
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, &no_passphrase, nullptr)) {
    sk_X509_push(parts.chain.get(), next);
  }
  ERR_clear_error();
  const std::string& key_path = settings.client_key_file.empty() ? path : settings.client_key_file;
  const Bio key_bio = open_file(key_path);
  parts.key.reset(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, &no_passphrase, nullptr));
  if (!parts.key) throw std::runtime_error(key_path + ": " + openssl_words());
  if (X509_check_private_key(parts.certificate.get(), parts.key.get()) != 1) {
    ERR_clear_error();
    throw std::runtime_error(key_path + ": not the key of the certificate in " + path);
  }
}

// Throws std::runtime_error.
std::shared_ptr<const Trust> read_trust(const TrustStore::Settings& settings) {
  auto parts = std::make_unique<Trust::Parts>();
  parts->authorities.reset(X509_STORE_new());
  if (!parts->authorities) throw std::runtime_error("OpenSSL: out of memory");
  std::size_t count = 0;
  if (!settings.ca_file.empty()) {
    count += read_authorities(parts->authorities.get(), settings.ca_file);
  }
  if (!settings.ca_dir.empty()) {
    for (const std::string& path : files_in(settings.ca_dir)) {
      try {
        count += read_authorities(parts->authorities.get(), path);
      } catch (const std::runtime_error&) {  // one of many
      }
    }
  }
  if (count == 0) {
    throw std::runtime_error("no certificate to trust in " +
                             (settings.ca_file.empty() ? settings.ca_dir : settings.ca_file));
  }
  // As libcurl has it: an intermediate authority in the file is enough.
  X509_STORE_set_flags(parts->authorities.get(),
                       X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
  if (!settings.client_cert_file.empty()) read_own(*parts, settings);
  return std::make_shared<const Trust>(std::move(parts));
}

}  // namespace

Trust::Trust(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Trust::Trust(std::string problem) : problem_(std::move(problem)) {}
Trust::~Trust() = default;

bool Trust::apply(void* ssl_ctx) const {
  auto* context = static_cast<SSL_CTX*>(ssl_ctx);
  if (!parts_) return false;
  SSL_CTX_set1_cert_store(context, parts_->authorities.get());
  // libcurl turns them off, and TLS 1.2 is then resumed by few.
  SSL_CTX_clear_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_keylog_callback(context, nullptr);
  // Many servers end TCP without ending TLS. What that cuts short lengths and chunks tell; where
  // the end is all there is, it is taken as without TLS. libcurl 7.88 does so by itself.
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  return !parts_->certificate ||
         SSL_CTX_use_cert_and_key(context, parts_->certificate.get(), parts_->key.get(),
                                  parts_->chain.get(), 1) == 1;
}

bool speaks_http2(void* ssl) {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(static_cast<const SSL*>(ssl), &name, &size);
  return std::string_view(reinterpret_cast<const char*>(name), size) == "h2";
}

std::string certificate_problem(long verify_result) {
  const char* const words = X509_verify_cert_error_string(verify_result);
  switch (verify_result) {
    case X509_V_OK:
    case X509_V_ERR_UNSPECIFIED:  // what libcurl says before there was a check
      return {};
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "the upstream's certificate has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the upstream's certificate is not valid yet";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return std::string("the upstream's certificate comes from nobody we trust: ") + words;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return std::string("the upstream's certificate is another host's: ") + words;
    default:
      return std::string("the upstream's certificate is not valid: ") + words;
  }
}

TrustStore::TrustStore(Settings settings, Changed changed)
    : settings_(std::move(settings)), changed_(std::move(changed)) {
  thread_ = std::thread([this] { run(); });
}

TrustStore::~TrustStore() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool TrustStore::wind_down() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  wake_.notify_all();
  return ended_;
}

std::string TrustStore::problem_of(const Settings& settings) try {
  (void)read_trust(settings);
  return {};
} catch (const std::exception& error) {
  return error.what();
}

std::string TrustStore::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

void TrustStore::run() {
  pthread_setname_np(pthread_self(), "trust");
  look();
  const std::lock_guard lock(mutex_);
  ended_ = true;
}

void TrustStore::look() {
  // The first context of a program takes OpenSSL some milliseconds: not the loop's.
  SSL_CTX_free(SSL_CTX_new(TLS_client_method()));
  std::string stamp;
  bool told = false;
  for (bool first = true;; first = false) {
    // Before the reading: what changes meanwhile is read again.
    std::string now = stamp_of(settings_);
    if (first || now != stamp) {
      stamp = std::move(now);
      std::shared_ptr<const Trust> trust;
      std::string problem;
      try {
        trust = read_trust(settings_);
      } catch (const std::exception& error) {
        problem = error.what();
        if (!told) trust = std::make_shared<const Trust>(problem);
      }
      {
        const std::lock_guard lock(mutex_);
        problem_ = problem;
        if (stopping_) return;
      }
      if (trust) changed_(trust);
      told = true;
    }
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, settings_.check_interval, [this] { return stopping_; })) return;
  }
}

}  // namespace holdfast::upstream

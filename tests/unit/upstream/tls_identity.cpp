#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "tls_server.h"

namespace holdfast::upstream::test {
namespace {

constexpr long kDay = 24L * 60 * 60;

std::string pem_of(X509* certificate) {
  BIO* const bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return pem;
}

std::string pem_of(EVP_PKEY* key) {
  BIO* const bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string pem(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return pem;
}

void extend(X509* certificate, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
  if (extension == nullptr) throw std::runtime_error("not an extension: " + value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// Of that name and key, from a day before it ends, or from yesterday.
X509* new_certificate(const std::string& name, EVP_PKEY* key, int days) {
  static std::atomic<long> serial{1};
  X509* const certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), (days < 0 ? days - 1 : -1) * kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate), days * kDay);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return certificate;
}

}  // namespace

struct Authority::Parts {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = nullptr;
};

Authority::Authority(const std::string& name) : parts_(std::make_unique<Parts>()) {
  parts_->certificate = new_certificate(name, parts_->key, 30);
  X509_set_issuer_name(parts_->certificate, X509_get_subject_name(parts_->certificate));
  extend(parts_->certificate, parts_->certificate, NID_basic_constraints, "critical,CA:TRUE");
  extend(parts_->certificate, parts_->certificate, NID_key_usage, "critical,keyCertSign");
  X509_sign(parts_->certificate, parts_->key, EVP_sha256());
}

Authority::~Authority() {
  X509_free(parts_->certificate);
  EVP_PKEY_free(parts_->key);
}

std::string Authority::certificate() const {
  return pem_of(parts_->certificate);
}

Identity Authority::issue(const std::string& name, int days) const {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = new_certificate(name, key, days);
  X509_set_issuer_name(certificate, X509_get_subject_name(parts_->certificate));
  extend(certificate, parts_->certificate, NID_subject_alt_name, "DNS:" + name);
  X509_sign(certificate, parts_->key, EVP_sha256());
  const Identity identity{pem_of(certificate), pem_of(key)};
  X509_free(certificate);
  EVP_PKEY_free(key);
  return identity;
}

TempFile::TempFile(const std::string& content) {
  char name[] = "/tmp/holdfast-test-XXXXXX";
  const base::UniqueFd made(::mkstemp(name));
  if (!made) throw std::runtime_error("cannot make a file in /tmp");
  path_ = name;
  replace(content);
}

TempFile::~TempFile() {
  std::remove(path_.c_str());
}

void TempFile::replace(const std::string& content) const {
  const std::string next = path_ + ".next";
  std::ofstream(next, std::ios::trunc) << content;
  std::rename(next.c_str(), path_.c_str());
}

}  // namespace holdfast::upstream::test

#include "certificate.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "geo_answer.h"

namespace holdfast::flaky {
namespace {

constexpr long kDay = 24 * 60 * 60;
// A clock that is a little behind ours is no reason to refuse it.
constexpr long kValidFrom = -kDay;
constexpr long kValidTo = 30 * kDay;
constexpr long kVersion3 = 2;

bool add_extension(X509& certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, &certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(&certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

// Two CAs of the same name and serial number would be one to whoever has seen the first.
bool set_serial(X509& certificate) {
  unsigned char bytes[8];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  std::uint64_t serial = 0;
  for (const auto byte : bytes) serial = serial << 8 | byte;
  return ASN1_INTEGER_set_uint64(X509_get_serialNumber(&certificate), serial >> 1) == 1;
}

// All but the extensions and the signature.
Identity unsigned_identity(const std::string& common_name) {
  Identity identity;
  identity.key.reset(EVP_EC_gen("P-256"));
  identity.certificate.reset(X509_new());
  if (!identity.key || !identity.certificate) return {};
  X509& certificate = *identity.certificate;
  const auto* text = reinterpret_cast<const unsigned char*>(common_name.c_str());
  if (X509_set_version(&certificate, kVersion3) != 1 || !set_serial(certificate) ||
      X509_gmtime_adj(X509_getm_notBefore(&certificate), kValidFrom) == nullptr ||
      X509_gmtime_adj(X509_getm_notAfter(&certificate), kValidTo) == nullptr ||
      X509_set_pubkey(&certificate, identity.key.get()) != 1 ||
      X509_NAME_add_entry_by_txt(X509_get_subject_name(&certificate), "CN", MBSTRING_UTF8, text, -1,
                                 -1, 0) != 1) {
    return {};
  }
  return identity;
}

}  // namespace

Identity make_authority() {
  Identity made = unsigned_identity("flaky-upstream CA");
  if (!made.certificate) return {};
  X509* const itself = made.certificate.get();
  if (X509_set_issuer_name(itself, X509_get_subject_name(itself)) != 1 ||
      !add_extension(*itself, itself, NID_basic_constraints, "critical,CA:TRUE") ||
      !add_extension(*itself, itself, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(*itself, itself, NID_subject_key_identifier, "hash") ||
      X509_sign(itself, made.key.get(), EVP_sha256()) == 0) {
    return {};
  }
  return made;
}

Identity make_leaf(const Identity& authority, const std::vector<std::string>& names) {
  Identity made = unsigned_identity("flaky-upstream");
  if (!made.certificate) return {};
  X509* const itself = made.certificate.get();
  X509* const issuer = authority.certificate.get();
  std::string alternatives;
  for (const auto& name : names) {
    if (!alternatives.empty()) alternatives += ',';
    alternatives += (parse_address(name) ? "IP:" : "DNS:") + name;
  }
  if (X509_set_issuer_name(itself, X509_get_subject_name(issuer)) != 1 ||
      !add_extension(*itself, issuer, NID_basic_constraints, "CA:FALSE") ||
      !add_extension(*itself, issuer, NID_ext_key_usage, "serverAuth") ||
      !add_extension(*itself, issuer, NID_authority_key_identifier, "keyid") ||
      !add_extension(*itself, issuer, NID_subject_alt_name, alternatives) ||
      X509_sign(itself, authority.key.get(), EVP_sha256()) == 0) {
    return {};
  }
  return made;
}

std::string to_pem(X509& certificate) {
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new(BIO_s_mem()), &BIO_free_all);
  if (!bio || PEM_write_bio_X509(bio.get(), &certificate) != 1) return {};
  char* text = nullptr;
  const auto length = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(length)};
}

}  // namespace holdfast::flaky

// A CA and a leaf, made on the spot. For tls.cpp alone: it speaks OpenSSL.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

namespace holdfast::flaky {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeCertificate {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
using Certificate = std::unique_ptr<X509, FreeCertificate>;

struct Identity {
  Key key;
  Certificate certificate;
};

// P-256 keys; nulls if OpenSSL refuses.
Identity make_authority();
// For DNS names and IP addresses, signed by that authority.
Identity make_leaf(const Identity& authority, const std::vector<std::string>& names);

// As PEM; empty if OpenSSL refuses.
std::string to_pem(X509& certificate);

}  // namespace holdfast::flaky

/*
 * A FIDO authenticator in software, as a provider of ssh (SecurityKeyProvider): the key handle is
 * the private key itself, and nobody is asked for a touch. What the authenticator claims to have seen
 * is SK_SOFTWARE_FLAGS of the environment, else what the key asks for. For tests only.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { api_version = 0x000a0000, failed = -1, unsupported = -2 };
enum { algorithm_ecdsa = 0, algorithm_ed25519 = 1 };
enum { secret_bytes = 32, point_bytes = 65, ed25519_signature_bytes = 64 };

struct sk_enroll_response {
  uint8_t flags;
  uint8_t *public_key;
  size_t public_key_len;
  uint8_t *key_handle;
  size_t key_handle_len;
  uint8_t *signature;
  size_t signature_len;
  uint8_t *attestation_cert;
  size_t attestation_cert_len;
  uint8_t *authdata;
  size_t authdata_len;
};

struct sk_sign_response {
  uint8_t flags;
  uint32_t counter;
  uint8_t *sig_r;
  size_t sig_r_len;
  uint8_t *sig_s;
  size_t sig_s_len;
};

struct sk_resident_key;
struct sk_option;

uint32_t sk_api_version(void) { return api_version; }

static uint8_t *copied(const uint8_t *bytes, size_t length) {
  uint8_t *copy = malloc(length);
  if (copy != NULL) {
    memcpy(copy, bytes, length);
  }
  return copy;
}

static int ed25519_enroll(uint8_t *secret, uint8_t *point, size_t *point_len) {
  EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
  size_t secret_len = secret_bytes;
  *point_len = 32;
  int ok = key != NULL && EVP_PKEY_get_raw_private_key(key, secret, &secret_len) == 1 &&
           EVP_PKEY_get_raw_public_key(key, point, point_len) == 1;
  EVP_PKEY_free(key);
  return ok;
}

static int ecdsa_enroll(uint8_t *secret, uint8_t *point, size_t *point_len) {
  EC_KEY *key = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
  int ok = key != NULL && EC_KEY_generate_key(key) == 1 &&
           BN_bn2binpad(EC_KEY_get0_private_key(key), secret, secret_bytes) == secret_bytes;
  *point_len = ok ? EC_POINT_point2oct(EC_KEY_get0_group(key), EC_KEY_get0_public_key(key),
                                       POINT_CONVERSION_UNCOMPRESSED, point, point_bytes, NULL)
                  : 0;
  EC_KEY_free(key);
  return *point_len == point_bytes;
}

int sk_enroll(uint32_t algorithm, const uint8_t *challenge, size_t challenge_len,
              const char *application, uint8_t flags, const char *pin, struct sk_option **options,
              struct sk_enroll_response **out) {
  (void)challenge, (void)challenge_len, (void)application, (void)pin, (void)options;
  uint8_t secret[secret_bytes], point[point_bytes];
  size_t point_len = 0;
  int ok = algorithm == algorithm_ed25519 ? ed25519_enroll(secret, point, &point_len)
           : algorithm == algorithm_ecdsa ? ecdsa_enroll(secret, point, &point_len)
                                          : 0;
  struct sk_enroll_response *response = calloc(1, sizeof *response);
  if (!ok || response == NULL) {
    free(response);
    return algorithm > algorithm_ed25519 ? unsupported : failed;
  }
  response->flags = flags;
  response->public_key = copied(point, point_len);
  response->public_key_len = point_len;
  response->key_handle = copied(secret, sizeof secret);
  response->key_handle_len = sizeof secret;
  response->signature = copied(secret, 1);
  response->signature_len = 1;
  *out = response;
  return 0;
}

static int ed25519_sign(const uint8_t *secret, const uint8_t *data, size_t length,
                        struct sk_sign_response *response) {
  EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, secret_bytes);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  uint8_t signature[ed25519_signature_bytes];
  size_t signature_len = sizeof signature;
  int ok = key != NULL && context != NULL &&
           EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
           EVP_DigestSign(context, signature, &signature_len, data, length) == 1;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  response->sig_r = ok ? copied(signature, signature_len) : NULL;
  response->sig_r_len = signature_len;
  return response->sig_r != NULL;
}

static int ecdsa_sign(const uint8_t *secret, const uint8_t *data, size_t length,
                      struct sk_sign_response *response) {
  uint8_t digest[SHA256_DIGEST_LENGTH], half[secret_bytes];
  SHA256(data, length, digest);
  EC_KEY *key = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
  BIGNUM *scalar = BN_bin2bn(secret, secret_bytes, NULL);
  ECDSA_SIG *signature = NULL;
  if (key != NULL && scalar != NULL && EC_KEY_set_private_key(key, scalar) == 1) {
    signature = ECDSA_do_sign(digest, sizeof digest, key);
  }
  if (signature != NULL) {
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), half, sizeof half);
    response->sig_r = copied(half, sizeof half);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), half, sizeof half);
    response->sig_s = copied(half, sizeof half);
    response->sig_r_len = response->sig_s_len = sizeof half;
  }
  ECDSA_SIG_free(signature);
  BN_free(scalar);
  EC_KEY_free(key);
  return response->sig_r != NULL && response->sig_s != NULL;
}

int sk_sign(uint32_t algorithm, const uint8_t *data, size_t data_len, const char *application,
            const uint8_t *key_handle, size_t key_handle_len, uint8_t flags, const char *pin,
            struct sk_option **options, struct sk_sign_response **out) {
  (void)pin, (void)options;
  const char *seen = getenv("SK_SOFTWARE_FLAGS");
  uint8_t claimed = seen != NULL ? (uint8_t)strtoul(seen, NULL, 16) : (uint8_t)(flags & 0x05);
  uint32_t counter = (uint32_t)time(NULL);
  uint8_t signed_data[2 * SHA256_DIGEST_LENGTH + 5], *at = signed_data;
  struct sk_sign_response *response = calloc(1, sizeof *response);
  if (response == NULL || key_handle_len != secret_bytes) {
    free(response);
    return failed;
  }
  SHA256((const uint8_t *)application, strlen(application), at);
  at += SHA256_DIGEST_LENGTH;
  *at++ = claimed;
  for (int shift = 24; shift >= 0; shift -= 8) {
    *at++ = (uint8_t)(counter >> shift);
  }
  SHA256(data, data_len, at);
  response->flags = claimed;
  response->counter = counter;
  int ok = algorithm == algorithm_ed25519
               ? ed25519_sign(key_handle, signed_data, sizeof signed_data, response)
               : ecdsa_sign(key_handle, signed_data, sizeof signed_data, response);
  if (!ok) {
    free(response);
    return failed;
  }
  *out = response;
  return 0;
}

int sk_load_resident_keys(const char *pin, struct sk_option **options,
                          struct sk_resident_key ***keys, size_t *count) {
  (void)pin, (void)options, (void)keys, (void)count;
  return unsupported;
}

/* tlsio_der: cuts pieces out of a certificate as they stand there, byte for byte. Internal to
 * libtlsio.
 *
 * For:     DANE and pins, which compare the bytes of the certificate, not a library's rendering of
 *          them; signatures checked against a bare key.
 * Promise: never looks outside of the bytes given, whatever they are.
 */
#ifndef LIBTLSIO_TLSIO_DER_H
#define LIBTLSIO_TLSIO_DER_H

#include <stdbool.h>

#include "libtlsio/base/str.h"

/* What is signed (TBSCertificate) and the SubjectPublicKeyInfo in it (RFC 5280 4.1), headers
 * included. False when it is no certificate so far; then both are empty. */
bool tlsio_der_certificate(struct str der, struct str *ret_signed, struct str *ret_spki);

#endif

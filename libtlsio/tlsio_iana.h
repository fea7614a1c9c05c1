/* tlsio_iana: the names and numbers that IANA gave to what TLS negotiates. Internal to libtlsio.
 *
 * For:     tlsio_peer (GnuTLS has names of its own for suites and groups).
 */
#ifndef LIBTLSIO_TLSIO_IANA_H
#define LIBTLSIO_TLSIO_IANA_H

#include <stdint.h>

/* The code of a suite by its IANA name; 0 unknown. */
uint16_t tlsio_iana_suite_id(const char *name);
/* The IANA name of a group by GnuTLS's ("X25519" -> "x25519"); NULL unknown. Static. */
const char *tlsio_iana_group(const char *gnutls_name);

#endif

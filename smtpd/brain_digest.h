/* brain_digest: everything that plans are made by, in 32 bytes: rules with their places in the file,
 * resolver, trust anchors, authorities, the program's version. Pure.
 *
 * For:     brain: plans that an earlier life kept count only where it is the same.
 */
#ifndef SMTPD_BRAIN_DIGEST_H
#define SMTPD_BRAIN_DIGEST_H

#include "smtpd/config/config.h"

/* roots_sha256: of the authorities behind the `mta-sts` section. */
void brain_digest(const struct config *config, const uint8_t roots_sha256[32], uint8_t ret[32]);

#endif

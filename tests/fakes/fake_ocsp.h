/* fake_ocsp: OCSP responses (RFC 6960) of one's own making, good and bad. ECDSA keys only. */
#ifndef TESTS_FAKES_FAKE_OCSP_H
#define TESTS_FAKES_FAKE_OCSP_H

#include "libtlsio/base/buf.h"
#include "tests/fakes/fake_ca.h"

enum fake_ocsp_status { FAKE_OCSP_GOOD, FAKE_OCSP_REVOKED, FAKE_OCSP_UNKNOWN };

struct fake_ocsp_wishes {
	enum fake_ocsp_status status;
	int64_t this_update_s; /* from now */
	int64_t next_update_s; /* from now; 0 = not said */
	const struct fake_ca *signer;	   /* NULL = the issuer */
	const struct fake_leaf *responder; /* signs instead, its certificate within */
	bool is_try_later;		   /* no answer at all */
};

/* Gives. About this leaf of this issuer, DER. */
struct buf fake_ocsp_respond(const struct fake_ca *issuer, const struct fake_leaf *leaf,
	const struct fake_ocsp_wishes *wishes);

#endif

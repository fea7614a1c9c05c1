/* smtp_address: paths, addresses and their domains (RFC 5321 section 4.1.2, RFC 6531). Pure.
 *
 * For:     session (what clients send); config, relay and dsn (domains, whole addresses).
 * Promise: views point into the text given; only what the grammar allows comes out, with the
 *          limits of RFC 5321 section 4.5.3.1: local part 64 bytes, domain 255, path 256.
 *          Underscores in domain labels are forgiven, they are in use.
 */
#ifndef SMTPD_SMTP_SMTP_ADDRESS_H
#define SMTPD_SMTP_SMTP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "libtlsio/base/err.h"
#include "libtlsio/base/str.h"

#define SMTP_ADDRESS_LOCAL_BYTES 64
#define SMTP_ADDRESS_DOMAIN_BYTES 255
#define SMTP_ADDRESS_BYTES 254

struct smtp_address {
	struct str text;   /* "local@domain" as written; empty for <>; "postmaster" alone */
	struct str local;  /* as written, quotes included */
	struct str domain; /* a name or "[...]"; empty for <> and <postmaster> */
	bool is_ascii;
	bool is_literal; /* the domain is an address literal */
	bool has_route;	 /* a source route stood before it and was dropped */
};

enum smtp_address_allow {
	SMTP_ADDRESS_ALLOW_NULL = 1,	   /* <> (MAIL) */
	SMTP_ADDRESS_ALLOW_POSTMASTER = 2, /* <postmaster> without a domain (RCPT) */
};

/* Take "<...>" off the front of *text. allow: enum smtp_address_allow bits. -1 (ERR_INPUT). */
int smtp_address_parse_path(struct str *text, unsigned allow, struct smtp_address *ret,
	struct err *err);
/* The same for "local@domain" without brackets, the whole of text. */
int smtp_address_parse(struct str text, struct smtp_address *ret, struct err *err);

/* A domain name or, with may_be_literal, an address literal. U-labels pass. */
bool smtp_address_is_domain(struct str domain, bool may_be_literal);

/* The form to compare and to look up by: lower case, U-labels as A-labels, a trailing dot gone;
 * literals lower case. into holds SMTP_ADDRESS_DOMAIN_BYTES + 1. -1: no such name can exist. */
int smtp_address_domain_ascii(struct str domain, char *into, struct err *err);

/* The local part without quotes and backslashes; into holds SMTP_ADDRESS_LOCAL_BYTES. */
struct str smtp_address_unquote(struct str local, char *into);

/* Where else a server that rewrites addresses might send this: "a%b" and a quoted "a@b" name b,
 * "b!a" names b. unquoted: from smtp_address_unquote; *cursor begins at 0. False: no (more). The
 * domain is not checked and may be empty. */
bool smtp_address_next_hidden_domain(struct str unquoted, size_t *cursor, struct str *ret_domain);

/* Valid UTF-8 (RFC 3629): no overlong forms, surrogates or values above U+10FFFF. */
bool smtp_address_is_utf8(struct str text);

#endif

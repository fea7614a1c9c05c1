/* str: a view of bytes that somebody else owns.
 *
 * For:     parsers and everything that passes text along without copying.
 * Holds:   nothing; valid as long as the bytes it looks at.
 * Promise: may hold any byte including NUL; comparisons fold ASCII case only where the name
 *          says so (mail names are ASCII-folded, RFC 5321 section 2.4; never by locale).
 */
#ifndef LIBTLSIO_BASE_STR_H
#define LIBTLSIO_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *at;
	size_t length;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
/* For printf: printf("%.*s", STR_ARGS(name)). */
#define STR_ARGS(s) (int)(s).length, (s).at

static inline struct str str_of(const char *text)
{
	return (struct str){ text, text ? strlen(text) : 0 };
}

static inline struct str str_from(const void *bytes, size_t length)
{
	return (struct str){ (const char *)bytes, length };
}

static inline char str_lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char)(c + 32) : c;
}

bool str_equal(struct str a, struct str b);
bool str_equal_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends_nocase(struct str s, struct str suffix);

/* Offset of the byte, or s.length where it does not occur. */
size_t str_find(struct str s, char byte);
size_t str_find_last(struct str s, char byte);

/* The part behind the first n bytes (n <= s.length). */
static inline struct str str_skip(struct str s, size_t n)
{
	return (struct str){ s.at + n, s.length - n };
}

/* The first n bytes (n <= s.length). */
static inline struct str str_head(struct str s, size_t n)
{
	return (struct str){ s.at, n };
}

/* Without spaces and tabs at both ends. */
struct str str_trim(struct str s);

/* Take the next word (separated by spaces or tabs) off the front of *s; empty when none is left. */
struct str str_next_word(struct str *s);

/* Take everything before the separator off the front of *s, and the separator; the whole rest
 * where it does not occur. False when *s was already used up (at == NULL). */
bool str_split(struct str *s, char separator, struct str *ret_part);

/* Decimal digits only, no sign. False when empty, not digits, or above max. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *ret_value);

bool str_is_ascii(struct str s);

/* Copy into a fixed array with a NUL, cut where it does not fit. Returns false when cut. */
bool str_copy(struct str s, char *into, size_t capacity);

/* Lower-case ASCII in place. */
void str_lower_in_place(char *text, size_t length);

#endif

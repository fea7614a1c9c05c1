/* mem: allocation that cannot fail.
 *
 * For:     everyone. Out of memory is logged and aborts: the spool makes that safe, and every
 *          peer-controlled size has a limit of its own, so no peer can cause it.
 * Promise: never returns NULL (except mem_dup of NULL). Free with free().
 */
#ifndef LIBTLSIO_BASE_MEM_H
#define LIBTLSIO_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zero(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_resize(void *old, size_t size) __attribute__((returns_nonnull));
/* count * size, checked for overflow. */
void *mem_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_resize_array(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
/* Copy of a NUL-terminated string; NULL gives NULL. */
char *mem_dup(const char *text);
/* Copy of length bytes plus a NUL. */
char *mem_dup_bytes(const void *bytes, size_t length) __attribute__((malloc, returns_nonnull));

#endif

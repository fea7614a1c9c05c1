/* file: whole small files, read with a limit and written so that a crash leaves old or new.
 */
#ifndef LIBTLSIO_BASE_FILE_H
#define LIBTLSIO_BASE_FILE_H

#include <sys/types.h>

#include "libtlsio/base/buf.h"
#include "libtlsio/base/err.h"

/* Appends the file's content to ret. Over max_bytes is an error (ERR_LIMIT), and so is
 * what is no regular file: a pipe could keep us waiting for ever. */
int file_read(const char *path, size_t max_bytes, struct buf *ret, struct err *err);
/* The same from an open descriptor, from its current position; `name` is for the words. */
int file_read_fd(int fd, const char *name, size_t max_bytes, struct buf *ret, struct err *err);

/* Write to path.new, fsync, rename over path, fsync the directory. */
int file_replace(const char *path, struct str content, mode_t mode, struct err *err);

/* mkdir -p with mode for what is new. */
int file_make_directories(const char *path, mode_t mode, struct err *err);

#endif

/* memory_source: files that exist in a test only. */
#ifndef TESTS_SMTPD_CONFIG_MEMORY_SOURCE_H
#define TESTS_SMTPD_CONFIG_MEMORY_SOURCE_H

#include <stddef.h>

#include "libtlsio/base/str.h"
#include "smtpd/config/config.h"

enum { MEMORY_SOURCE_MOST = 24 };

struct memory_source {
	struct {
		const char *path;
		struct str content;
	} files[MEMORY_SOURCE_MOST];
	size_t count;
	unsigned reads;
	const char *exposed; /* a path everybody may read; NULL none */
};

/* Borrows. A path given again gets the new content. The path "system" is the machine's roots. */
void memory_source_put(struct memory_source *m, const char *path, struct str content);
struct config_source memory_source_as_config_source(struct memory_source *m);

#endif

#include "tests/smtpd/config/memory_source.h"

#include <assert.h>
#include <string.h>

void memory_source_put(struct memory_source *m, const char *path, struct str content)
{
	size_t i = 0;
	while (i < m->count && strcmp(m->files[i].path, path) != 0)
		i++;
	assert(i < MEMORY_SOURCE_MOST);
	m->files[i].path = path;
	m->files[i].content = content;
	m->count += i == m->count;
}

static int read_memory(void *ctx, const char *path, size_t max_bytes, struct buf *ret,
	struct err *err)
{
	struct memory_source *m = ctx;
	m->reads++;
	for (size_t i = 0; i < m->count; i++) {
		if (strcmp(m->files[i].path, path) != 0)
			continue;
		if (m->files[i].content.length > max_bytes)
			return err_set(err, ERR_LIMIT, "%s is too large", path);
		buf_append_str(ret, m->files[i].content);
		return 0;
	}
	return err_set(err, ERR_SYSTEM, "%s: No such file or directory", path);
}

static bool is_exposed(void *ctx, const char *path)
{
	struct memory_source *m = ctx;
	return m->exposed && strcmp(m->exposed, path) == 0;
}

static struct tlsio_trust *system_roots(void *ctx, struct err *err)
{
	struct memory_source *m = ctx;
	for (size_t i = 0; i < m->count; i++) {
		if (strcmp(m->files[i].path, "system") == 0)
			return tlsio_trust_pem("system", m->files[i].content, err);
	}
	err_set(err, ERR_SYSTEM, "this machine has no roots");
	return NULL;
}

struct config_source memory_source_as_config_source(struct memory_source *m)
{
	return (struct config_source){ .read = read_memory, .ctx = m, .is_exposed = is_exposed,
		.system_roots = system_roots };
}

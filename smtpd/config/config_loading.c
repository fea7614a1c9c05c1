#include "smtpd/config/config_loading.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "libtlsio/base/mem.h"
#include "libtlsio/tlsio_digest.h"

struct config_loaded {
	struct config_loaded *next;
	struct tlsio_trust *trust;
	uint8_t sha256[32];
	char name[]; /* the path it was read from, or "system" */
};

static void record_file(struct config_loading *l, const char *path)
{
	char **files = l->config->files;
	for (size_t i = 0; i < l->file_count; i++) {
		if (strcmp(files[i], path) == 0)
			return;
	}
	files = mem_resize_array(files, l->file_count + 2, sizeof(*files));
	files[l->file_count++] = mem_dup(path);
	files[l->file_count] = NULL;
	l->config->files = files;
}

int config_loading_read(struct config_loading *l, const char *path, size_t max_bytes,
	struct buf *ret, struct err *err)
{
	if (l->source->read(l->source->ctx, path, max_bytes, ret, err) < 0)
		return -1;
	record_file(l, path);
	return 0;
}

void config_loading_warn(struct config_loading *l, const char *format, ...)
{
	struct buf text = { 0 };
	va_list args;
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	char **warnings =
		mem_resize_array(l->config->warnings, l->warning_count + 2, sizeof(*warnings));
	warnings[l->warning_count++] = buf_take(&text);
	warnings[l->warning_count] = NULL;
	l->config->warnings = warnings;
}

static struct tlsio_trust *load_system(struct config_loading *l, uint8_t ret_sha256[32],
	struct err *err)
{
	struct tlsio_trust *trust = l->source->system_roots ?
		l->source->system_roots(l->source->ctx, err) : tlsio_trust_system(err);
	if (trust)
		tlsio_trust_sha256(trust, ret_sha256);
	return trust;
}

static struct tlsio_trust *load_file(struct config_loading *l, const char *path,
	uint8_t ret_sha256[32], struct err *err)
{
	struct buf pem = { 0 };
	struct tlsio_trust *trust = NULL;
	if (config_loading_read(l, path, CONFIG_AUTHORITY_BYTES, &pem, err) == 0) {
		trust = tlsio_trust_pem(path, buf_str(&pem), err);
		tlsio_digest_sha256(buf_str(&pem), ret_sha256);
	}
	buf_release(&pem);
	return trust;
}

static struct config_loaded *load_authority(struct config_loading *l, const char *path,
	struct err *err)
{
	uint8_t sha256[32] = { 0 };
	struct tlsio_trust *trust = strcmp(path, "system") == 0 ? load_system(l, sha256, err)
								 : load_file(l, path, sha256, err);
	if (!trust)
		return NULL;
	struct config_loaded *a = mem_zero(sizeof(*a) + strlen(path) + 1);
	memcpy(a->name, path, strlen(path) + 1);
	memcpy(a->sha256, sha256, sizeof(sha256));
	a->trust = trust;
	a->next = l->loaded;
	l->loaded = a;
	return a;
}

/* Under the name as written: that is what requirements call it. */
static void list_authority(struct config *config, const char *name, const struct config_loaded *a)
{
	for (size_t i = 0; i < config->authority_count; i++) {
		const struct config_authority *known = &config->authorities[i];
		if (strcmp(known->name, name) == 0 &&
			memcmp(known->sha256, a->sha256, sizeof(a->sha256)) == 0)
			return;
	}
	config->authorities = mem_resize_array(config->authorities, config->authority_count + 1,
		sizeof(*config->authorities));
	struct config_authority *added = &config->authorities[config->authority_count++];
	added->name = mem_dup(name);
	memcpy(added->sha256, a->sha256, sizeof(a->sha256));
	added->trust = tlsio_trust_ref(a->trust);
}

struct tlsio_trust *config_loading_authority(struct config_loading *l, const cfg_t *place,
	const char *name, uint8_t ret_sha256[32], struct err *err)
{
	char *path = strcmp(name, "system") == 0
		? mem_dup(name)
		: config_text_path(place->filename ? place->filename : "", name);
	struct config_loaded *a = l->loaded;
	while (a && strcmp(a->name, path) != 0)
		a = a->next;
	if (!a)
		a = load_authority(l, path, err);
	free(path);
	if (!a)
		return NULL;
	list_authority(l->config, name, a);
	memcpy(ret_sha256, a->sha256, sizeof(a->sha256));
	return tlsio_trust_ref(a->trust);
}

void config_loading_clear(struct config_loading *l)
{
	while (l->loaded) {
		struct config_loaded *a = l->loaded;
		l->loaded = a->next;
		tlsio_trust_unref(&a->trust);
		free(a);
	}
	free(l->wants_client_certificates);
	config_text_clear(&l->text);
	if (l->cfg)
		cfg_free(l->cfg);
}

char *config_loading_place(const cfg_t *section)
{
	const char *file = section->filename ? section->filename : "settings";
	const char *slash = strrchr(file, '/');
	struct buf text = { 0 };
	buf_printf(&text, "%s:%d %s \"%s\"", slash ? slash + 1 : file, section->line, section->name,
		section->title ? section->title : "");
	return buf_take(&text);
}

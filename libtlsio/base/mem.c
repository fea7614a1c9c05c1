#include "libtlsio/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory, size_t size)
{
	if (!memory) {
		fprintf(stderr, "out of memory asking for %zu bytes\n", size);
		abort();
	}
	return memory;
}

void *mem_alloc(size_t size)
{
	return checked(malloc(size ? size : 1), size);
}

void *mem_zero(size_t size)
{
	return checked(calloc(1, size ? size : 1), size);
}

void *mem_resize(void *old, size_t size)
{
	return checked(realloc(old, size ? size : 1), size);
}

void *mem_array(size_t count, size_t size)
{
	return checked(calloc(count ? count : 1, size ? size : 1), count);
}

void *mem_resize_array(void *old, size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		checked(NULL, SIZE_MAX);
	return mem_resize(old, count * size);
}

char *mem_dup(const char *text)
{
	return text ? mem_dup_bytes(text, strlen(text)) : NULL;
}

char *mem_dup_bytes(const void *bytes, size_t length)
{
	char *copy = mem_alloc(length + 1);
	if (length)
		memcpy(copy, bytes, length);
	copy[length] = '\0';
	return copy;
}

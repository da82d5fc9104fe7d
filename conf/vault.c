/*
 * vault: see vault.h. Called by the loaders of the configuration and the auth_file.
 *
 * Blocks of pages of their own, filled from the front and never given back singly: a configuration
 * is read once and goes as a whole. mlock() fails for more than RLIMIT_MEMLOCK, which is accepted:
 * a list of a million users must still load.
 */
#include "conf/vault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "conf/log.h"

#define BLOCK 16384

struct block {
	struct block *next;
	size_t size, used;
};

struct vault {
	struct block *blocks; /* newest first */
};

struct vault *
vault_new(void)
{
	struct vault *v = calloc(1, sizeof(*v));

	if (v == NULL)
		fatal("memory for secrets");
	return v;
}

static struct block *
block_new(size_t room)
{
	size_t size = (room + sizeof(struct block) + BLOCK - 1) / BLOCK * BLOCK;
	struct block *b =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (b == MAP_FAILED)
		fatal("memory for secrets");
	(void)madvise(b, size, MADV_DONTDUMP);
	(void)mlock(b, size);
	b->size = size;
	b->used = sizeof(*b);
	return b;
}

void
vault_free(struct vault *v)
{
	struct block *b;

	if (v == NULL)
		return;
	while ((b = v->blocks) != NULL) {
		v->blocks = b->next;
		explicit_bzero((char *)b + sizeof(*b), b->used - sizeof(*b));
		(void)munmap(b, b->size);
	}
	free(v);
}

char *
vault_take(struct vault *v, size_t size)
{
	struct block *b = v->blocks;
	char *at;

	if (b == NULL || b->size - b->used < size) {
		b = block_new(size);
		b->next = v->blocks;
		v->blocks = b;
	}
	at = (char *)b + b->used;
	b->used += size;
	return at;
}

char *
vault_copy(struct vault *v, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = vault_take(v, size);

	memcpy(copy, text, size);
	return copy;
}

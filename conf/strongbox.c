/*
 * strongbox: see strongbox.h. Called by main.c, by the loaders of the configuration, and by the
 * workers' logins.
 *
 * Blocks of size classes, each with a list of free ones, cut from regions that are never given
 * back: classes of 16 bytes up to 256, then eight to a doubling, so that at most an eighth is lost.
 * What is larger than the largest class is a mapping of its own. A header before each block tells
 * its class. OpenSSL is called by the loop and by the thread beside it, hence the mutex.
 *
 * OpenSSL wipes its keys itself; its record buffers, by far the most of what passes here, need not
 * be. Under AddressSanitizer it is malloc, so that OpenSSL's and our faults are seen.
 */
#include "conf/strongbox.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <openssl/crypto.h>

#include "conf/log.h"

#if defined(__SANITIZE_ADDRESS__)
#define PLAIN_MALLOC
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PLAIN_MALLOC
#endif
#endif

/* --- blocks ----------------------------------------------------------------------------------- */

#ifdef PLAIN_MALLOC

static void *
get(size_t size)
{
	return malloc(size == 0 ? 1 : size);
}

static void
give(void *p)
{
	free(p);
}

static size_t
room(void *p)
{
	return malloc_usable_size(p);
}

#else

#define REGION	(1 << 20)
#define SMALL	256 /* up to here by steps */
#define STEP	16
#define LARGEST 32768 /* of a class */
#define CLASSES (SMALL / STEP + 7 * 8)

/* Before each block; keeps what follows aligned for everything. */
struct head {
	size_t size;	   /* usable bytes */
	struct head *next; /* free: in its class's list */
};

_Static_assert(sizeof(struct head) == STEP, "blocks are aligned like malloc's");

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct head *free_blocks[CLASSES];
static uint8_t *region;
static size_t region_left;

/* The class of a size, and the class's size in *size. */
static unsigned int
class_of(size_t *size)
{
	unsigned int shift, eighth;

	if (*size <= SMALL) {
		*size = *size == 0 ? STEP : (*size + STEP - 1) / STEP * STEP;
		return (unsigned int)(*size / STEP - 1);
	}
	shift = 63 - (unsigned int)__builtin_clzl(*size - 1); /* 2^shift < size <= 2^(shift + 1) */
	eighth = (unsigned int)((*size - 1) >> (shift - 3)) & 7;
	*size = ((size_t)8 + eighth + 1) << (shift - 3);
	return SMALL / STEP + (shift - 8) * 8 + eighth;
}

static void *
map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, size, MADV_DONTDUMP);
	return p;
}

static struct head *
cut(size_t size)
{
	struct head *h;

	if (region_left < sizeof(*h) + size) {
		region = map(REGION); /* the old one's rest is lost: 3% at most */
		region_left = region == NULL ? 0 : REGION;
	}
	if (region == NULL)
		return NULL;
	h = (void *)region;
	region += sizeof(*h) + size;
	region_left -= sizeof(*h) + size;
	h->size = size;
	return h;
}

static void *
get(size_t size)
{
	unsigned int class;
	struct head *h;

	if (size > LARGEST) {
		h = size > SIZE_MAX / 2 ? NULL : map(sizeof(*h) + size);
		if (h != NULL)
			h->size = size;
		return h == NULL ? NULL : h + 1;
	}
	class = class_of(&size);
	(void)pthread_mutex_lock(&mutex);
	h = free_blocks[class];
	if (h != NULL)
		free_blocks[class] = h->next;
	else
		h = cut(size);
	(void)pthread_mutex_unlock(&mutex);
	return h == NULL ? NULL : h + 1;
}

static void
give(void *p)
{
	struct head *h = p;
	size_t size;
	unsigned int class;

	if (h == NULL)
		return;
	h--;
	if (h->size > LARGEST) {
		(void)munmap(h, sizeof(*h) + h->size);
		return;
	}
	size = h->size;
	class = class_of(&size);
	(void)pthread_mutex_lock(&mutex);
	h->next = free_blocks[class];
	free_blocks[class] = h;
	(void)pthread_mutex_unlock(&mutex);
}

static size_t
room(void *p)
{
	return ((struct head *)p - 1)->size;
}

#endif

/* --- OpenSSL's -------------------------------------------------------------------------------- */

static void *
openssl_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size == 0 ? NULL : get(size);
}

static void
openssl_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	if (p != NULL)
		give(p);
}

static void *
openssl_realloc(void *p, size_t size, const char *file, int line)
{
	void *to;

	if (p != NULL && size > 0 && size <= room(p) && size > room(p) / 2)
		return p;
	to = openssl_malloc(size, file, line);
	if (p != NULL && to != NULL)
		memcpy(to, p, size < room(p) ? size : room(p));
	if (p != NULL && (to != NULL || size == 0)) {
		OPENSSL_cleanse(p, room(p));
		give(p);
	}
	return to;
}

void
strongbox_openssl(void)
{
	if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
		log_warnx("OpenSSL keeps its own memory: core dumps may hold keys");
}

/* --- ours ------------------------------------------------------------------------------------- */

void *
strongbox_take(size_t size)
{
	void *p = get(size);

	if (p == NULL)
		fatal("memory for secrets");
	return memset(p, 0, size);
}

char *
strongbox_copy(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(strongbox_take(size), text, size);
}

void
strongbox_put(void *p)
{
	if (p == NULL)
		return;
	explicit_bzero(p, room(p));
	give(p);
}

/* --- others' ---------------------------------------------------------------------------------- */

/* glibc fills what is freed (M_PERTURB), but for the small blocks that each thread keeps at hand:
 * seven of each size. They are what malloc gives out next. */
#define AT_HAND	      7
#define AT_HAND_LEAST 24
#define AT_HAND_MOST  1032

static void
wipe_at_hand(void)
{
	void *blocks[AT_HAND];
	size_t size;
	int i;

	for (size = AT_HAND_LEAST; size <= AT_HAND_MOST; size += 16) {
		for (i = 0; i < AT_HAND; i++) {
			blocks[i] = malloc(size);
			if (blocks[i] != NULL)
				explicit_bzero(blocks[i], size);
		}
		while (i-- > 0)
			free(blocks[i]);
	}
}

void
strongbox_wipe_freed(bool on)
{
	static atomic_int depth;

	if (on && atomic_fetch_add(&depth, 1) == 0)
		(void)mallopt(M_PERTURB, 0xff);
	if (on)
		return;
	wipe_at_hand();
	if (atomic_fetch_sub(&depth, 1) == 1)
		(void)mallopt(M_PERTURB, 0);
}

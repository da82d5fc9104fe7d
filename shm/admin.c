/*
 * admin: see admin.h. Names are only ever added, and published by the count after they were
 * written; flags are single words. A name that no longer has flags keeps its place: they are the
 * names that an operator typed, so there are few.
 */
#include "shm/admin.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <bsd/string.h>

#include "conf/conf.h"

#define NAMES 512

struct admin {
	_Atomic unsigned int all;
	_Atomic unsigned int count;
	struct {
		_Atomic unsigned int flags;
		char name[CONF_NAME_SIZE];
	} dbs[NAMES];
};

struct admin *
admin_create(void)
{
	void *p = mmap(
	    NULL, sizeof(struct admin), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static _Atomic unsigned int *
find(const struct admin *a, const char *db)
{
	/* pairs with the release in admin_change: the names are whole */
	unsigned int i, n = atomic_load_explicit(&a->count, memory_order_acquire);

	for (i = 0; i < n; i++)
		if (strcmp(a->dbs[i].name, db) == 0)
			return (_Atomic unsigned int *)(uintptr_t)&a->dbs[i].flags;
	return NULL;
}

int
admin_change(struct admin *a, const char *db, unsigned int set, unsigned int clear)
{
	unsigned int n = atomic_load_explicit(&a->count, memory_order_relaxed);
	_Atomic unsigned int *flags = db[0] == '\0' ? &a->all : find(a, db);
	unsigned int i;

	if (flags == NULL && set == 0)
		return 0;
	if (flags == NULL && n == NAMES)
		return -1;
	if (flags == NULL) {
		strlcpy(a->dbs[n].name, db, sizeof(a->dbs[n].name));
		atomic_store_explicit(&a->count, n + 1, memory_order_release);
		flags = &a->dbs[n].flags;
	}
	atomic_store_explicit(flags,
	    (atomic_load_explicit(flags, memory_order_relaxed) | set) & ~clear,
	    memory_order_relaxed);
	if (db[0] == '\0')
		for (i = 0; i < n; i++)
			atomic_fetch_and_explicit(&a->dbs[i].flags, ~clear, memory_order_relaxed);
	return 0;
}

unsigned int
admin_flags(const struct admin *a, const char *db)
{
	const _Atomic unsigned int *own = find(a, db);

	return atomic_load_explicit(&a->all, memory_order_relaxed) |
	       (own == NULL ? 0 : atomic_load_explicit(own, memory_order_relaxed));
}

void
admin_each(
    const struct admin *a, void (*fn)(const char *db, unsigned int flags, void *arg), void *arg)
{
	unsigned int i, n = atomic_load_explicit(&a->count, memory_order_acquire), flags;

	flags = atomic_load_explicit(&a->all, memory_order_relaxed);
	if (flags != 0)
		fn("", flags, arg);
	for (i = 0; i < n; i++) {
		flags = atomic_load_explicit(&a->dbs[i].flags, memory_order_relaxed);
		if (flags != 0)
			fn(a->dbs[i].name, flags, arg);
	}
}

/*
 * budget: see budget.h. Called by the master (create, destroy), ledger.c, ledger_pool.c and
 * repair.c (name, used), and worker/pool_generation.c.
 *
 * "budget.PID" in run_dir: a head and a row per pool, as in the table. Writers of other files bump
 * `changes` in the head of this one, and whoever of this generation looks next reads the directory.
 * The lock on it is on the open file that all processes of the generation have in common, so it
 * ends with the last of them, however that ends.
 *
 * On failure: a file that cannot be read, or has another layout, is left out of the sums.
 */
#include "shm/budget.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/log.h"
#include "shm/layout.h"

#define MAGIC	  0x3154444742504750ULL /* "PGPBGDT1" */
#define VERSION	  1
#define PREFIX	  "budget."
#define OTHERS	  16
#define HUNGRY_US 500000 /* said longer ago: not any more */

struct head {
	uint64_t magic;
	uint32_t version, pools;
	_Atomic uint32_t changes; /* another generation has come */
	_Atomic uint32_t high;	  /* rows from here on were never used */
	char pad[40];
};

struct row {
	_Atomic uint64_t version; /* as in layout.h */
	_Atomic uint64_t names[LAYOUT_WORDS(sizeof(struct layout_names))];
	_Atomic uint32_t used;
	uint32_t pad;
	_Atomic int64_t hungry_us;
	uint64_t spare;
};

_Static_assert(sizeof(struct head) == 64, "travels between binaries");
_Static_assert(sizeof(struct row) == 160, "travels between binaries");

struct file {
	char name[NAME_MAX + 1];
	int fd;
	struct head *head; /* NULL = this place is free */
	size_t size;
};

struct budget {
	char *dir;
	struct file own;
	uint32_t seen; /* of own.head->changes */
	uint32_t nothers;
	struct file others[OTHERS];
};

static struct row *
row_of(const struct file *f, uint32_t pool)
{
	return (struct row *)(void *)(f->head + 1) + pool;
}

static size_t
size_of(uint32_t pools)
{
	return sizeof(struct head) + pools * sizeof(struct row);
}

/* --- files ------------------------------------------------------------------------------------ */

static bool
path_of(const struct budget *b, const char *name, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s", b->dir, name) < PATH_MAX;
}

static void
file_close(struct file *f)
{
	int saved = errno;

	if (f->head != NULL)
		(void)munmap(f->head, f->size);
	if (f->fd != -1)
		(void)close(f->fd);
	f->head = NULL;
	f->fd = -1;
	errno = saved;
}

static bool
file_map(struct file *f)
{
	void *map = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);

	f->head = map == MAP_FAILED ? NULL : map;
	return f->head != NULL;
}

/* Its generation has ended. */
static bool
file_dead(const struct file *f)
{
	return flock(f->fd, LOCK_SH | LOCK_NB) == 0;
}

/* Another generation's: 1; one that has ended: 0, and it is closed; -1: none that we can read. */
static int
file_open(const struct budget *b, const char *name, struct file *f)
{
	char path[PATH_MAX];
	struct stat sb;

	*f = (struct file){.fd = -1};
	if (strlen(name) >= sizeof(f->name) || !path_of(b, name, path))
		return -1;
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	f->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd == -1)
		return -1;
	if (file_dead(f)) {
		file_close(f);
		return 0;
	}
	if (fstat(f->fd, &sb) == 0 && sb.st_size >= (off_t)sizeof(struct head)) {
		f->size = (size_t)sb.st_size;
		if (file_map(f) && f->head->magic == MAGIC && f->head->version == VERSION &&
		    size_of(f->head->pools) == f->size)
			return 1;
	}
	log_warnx("%s: another generation's count of backends is not understood", path);
	file_close(f);
	return -1;
}

/* --- the others ------------------------------------------------------------------------------- */

static bool
known(const struct budget *b, const char *name)
{
	uint32_t i;

	for (i = 0; i < b->nothers; i++)
		if (strcmp(b->others[i].name, name) == 0)
			return true;
	return strcmp(b->own.name, name) == 0;
}

/* fn is called for each file of another generation's that is not known yet. */
static void
look(struct budget *b, void (*fn)(struct budget *, const char *name))
{
	DIR *dir = opendir(b->dir);
	const struct dirent *e;

	if (dir == NULL) {
		log_warn("%s", b->dir);
		return;
	}
	while ((e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) == 0 && !known(b, e->d_name))
			fn(b, e->d_name);
	(void)closedir(dir);
}

static void
add(struct budget *b, const char *name)
{
	if (b->nothers < OTHERS && file_open(b, name, &b->others[b->nothers]) == 1)
		b->nothers++;
}

/* The master's look, at its start: the living shall look too, the dead have left their files. */
static void
greet(struct budget *b, const char *name)
{
	char path[PATH_MAX];
	struct file f;
	int is = file_open(b, name, &f);

	if (is == 1)
		(void)atomic_fetch_add(&f.head->changes, 1); /* pairs with budget_shared */
	else if (is == 0 && path_of(b, name, path))
		(void)unlink(path);
	if (is == 1)
		file_close(&f);
}

bool
budget_shared(struct budget *b)
{
	/* Sequentially consistent, like the counts: who does not see the change here has counted
	 * before the other generation's first look. */
	uint32_t changes = atomic_load(&b->own.head->changes);

	if (changes != b->seen) {
		b->seen = changes;
		look(b, add);
	}
	return b->nothers > 0;
}

void
budget_prune(struct budget *b)
{
	uint32_t i = 0;

	while (i < b->nothers) {
		if (!file_dead(&b->others[i])) {
			i++;
			continue;
		}
		file_close(&b->others[i]);
		b->others[i] = b->others[--b->nothers];
	}
}

/* --- making and ending ------------------------------------------------------------------------ */

static int
own_create(struct budget *b, uint32_t pools)
{
	char path[PATH_MAX], tmp[PATH_MAX];
	struct file *f = &b->own;

	(void)snprintf(f->name, sizeof(f->name), PREFIX "%d", (int)getpid());
	if (!path_of(b, f->name, path) || !path_of(b, ".budget.new", tmp)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	(void)unlink(tmp);
	f->size = size_of(pools);
	f->fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (f->fd == -1 || flock(f->fd, LOCK_EX | LOCK_NB) == -1 ||
	    ftruncate(f->fd, (off_t)f->size) == -1 || !file_map(f))
		return -1;
	f->head->magic = MAGIC;
	f->head->version = VERSION;
	f->head->pools = pools;
	return rename(tmp, path);
}

struct budget *
budget_create(const char *dir, uint32_t pools)
{
	struct budget *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->own.fd = -1;
	b->dir = strdup(dir);
	if (b->dir == NULL || own_create(b, pools) == -1) {
		file_close(&b->own);
		free(b->dir);
		free(b);
		return NULL;
	}
	look(b, greet);
	b->seen = UINT32_MAX; /* whoever looks first, reads the directory */
	return b;
}

void
budget_destroy(struct budget *b)
{
	char path[PATH_MAX];

	if (path_of(b, b->own.name, path))
		(void)unlink(path);
	while (b->nothers > 0)
		file_close(&b->others[--b->nothers]);
	file_close(&b->own);
	free(b->dir);
	free(b);
}

/* --- ours ------------------------------------------------------------------------------------- */

void
budget_name(struct budget *b, uint32_t pool, const char *db, const char *user)
{
	struct row *r = row_of(&b->own, pool);
	struct layout_names names = {0};

	(void)snprintf(names.db, sizeof(names.db), "%s", db);
	(void)snprintf(names.user, sizeof(names.user), "%s", user);
	version_break(&r->version);
	layout_put(r->names, &names, sizeof(names));
	version_whole(&r->version);
	if (pool >= atomic_load(&b->own.head->high))
		atomic_store(&b->own.head->high, pool + 1); /* before the first count */
}

void
budget_used(struct budget *b, uint32_t pool, uint32_t used)
{
	atomic_store(&row_of(&b->own, pool)->used, used); /* pairs with budget_others */
}

void
budget_hungry(struct budget *b, uint32_t pool, int64_t now)
{
	atomic_store_explicit(&row_of(&b->own, pool)->hungry_us, now, memory_order_relaxed);
}

/* --- theirs ----------------------------------------------------------------------------------- */

/* The names of a row that is in use. */
static bool
row_names(const struct row *r, struct layout_names *names)
{
	uint64_t seen = version_seen(&r->version);

	if (!version_is_whole(seen))
		return false;
	layout_get(names, r->names, sizeof(*names));
	return version_same(&r->version, seen);
}

bool
budget_told(const struct budget *b, uint32_t pool, char *db, char *user, uint32_t *used)
{
	const struct row *r = row_of(&b->own, pool);
	struct layout_names names;

	*used = atomic_load(&r->used);
	if (!row_names(r, &names))
		return false;
	memcpy(db, names.db, sizeof(names.db));
	memcpy(user, names.user, sizeof(names.user));
	return true;
}

static uint32_t
rows(const struct file *f)
{
	uint32_t high = atomic_load(&f->head->high);

	return high < f->head->pools ? high : f->head->pools;
}

static void
add_file(const struct file *f, const char *db, const char *user, struct budget_sum *sum)
{
	struct layout_names names;
	uint32_t i, n = rows(f), used;

	for (i = 0; i < n; i++) {
		bool same_db, same_user;
		used = atomic_load(&row_of(f, i)->used); /* pairs with budget_used */
		if (used == 0 || !row_names(row_of(f, i), &names))
			continue;
		same_db = strncmp(names.db, db, sizeof(names.db)) == 0;
		same_user = strncmp(names.user, user, sizeof(names.user)) == 0;
		sum->pool += same_db && same_user ? used : 0;
		sum->group[LEDGER_DB] += same_db ? used : 0;
		sum->group[LEDGER_USER] += same_user ? used : 0;
	}
}

void
budget_others(const struct budget *b, const char *db, const char *user, struct budget_sum *sum)
{
	uint32_t i;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < b->nothers; i++)
		add_file(&b->others[i], db, user, sum);
}

bool
budget_wanted(const struct budget *b, const char *db, const char *user,
    const bool by[LEDGER_GROUPS], int64_t now)
{
	struct layout_names names;
	uint32_t o, i;

	for (o = 0; o < b->nothers; o++) {
		const struct file *f = &b->others[o];
		for (i = 0; i < rows(f); i++) {
			const struct row *r = row_of(f, i);
			bool same_db, same_user;
			int64_t said = atomic_load_explicit(&r->hungry_us, memory_order_relaxed);
			if (said == 0 || now - said > HUNGRY_US || !row_names(r, &names))
				continue;
			same_db = strncmp(names.db, db, sizeof(names.db)) == 0;
			same_user = strncmp(names.user, user, sizeof(names.user)) == 0;
			if ((same_db && same_user) || (same_db && by[LEDGER_DB]) ||
			    (same_user && by[LEDGER_USER]))
				return true;
		}
	}
	return false;
}

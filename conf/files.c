/*
 * files: see files.h. Called by load.c and the loaders of single files; by the master to publish,
 * by workers to receive.
 *
 * In the memfd stand pieces, each {length of name, length of text} as 32-bit words, the name, the
 * text. The first has an empty name: the configuration. Both ends are the same binary. It is sealed
 * before anybody else sees it, so what was checked cannot change afterwards.
 */
#include "conf/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bsd/sys/queue.h>

#include "conf/conf.h"
#include "conf/strongbox.h"
#include "conf/vault.h"

struct file {
	char *path;
	char *text; /* in the vault */
	size_t len;
	SLIST_ENTRY(file) entry;
};

struct files {
	struct vault *vault;
	bool received; /* what is not here does not exist */
	SLIST_HEAD(file_list, file) list;
};

/* --- reading ---------------------------------------------------------------------------------- */

struct files *
files_new(void)
{
	struct files *f = calloc(1, sizeof(*f));

	if (f == NULL)
		fatal("configuration");
	f->vault = vault_new();
	SLIST_INIT(&f->list);
	return f;
}

void
files_free(struct files *f)
{
	struct file *x;

	if (f == NULL)
		return;
	while ((x = SLIST_FIRST(&f->list)) != NULL) {
		SLIST_REMOVE_HEAD(&f->list, entry);
		free(x->path);
		free(x);
	}
	vault_free(f->vault);
	free(f);
}

/* `len` bytes of room for its text; the path is copied. */
static struct file *
add(struct files *f, const char *path, size_t path_len, size_t len)
{
	struct file *x = calloc(1, sizeof(*x));

	if (x == NULL || (x->path = strndup(path, path_len)) == NULL)
		fatal("configuration");
	x->text = vault_take(f->vault, len + 1);
	x->text[len] = '\0';
	x->len = len;
	SLIST_INSERT_HEAD(&f->list, x, entry);
	return x;
}

/* Up to `len` bytes; fewer at the file's end. -1 with errno. */
static ssize_t
read_up_to(int fd, char *to, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, to + got, len - got);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static struct file *
read_file(struct files *f, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), saved;
	struct file *x = NULL;
	struct stat st;
	ssize_t n;

	if (fd == -1)
		return NULL;
	if (fstat(fd, &st) == -1) {
		;
	} else if (!S_ISREG(st.st_mode) || st.st_size > FILES_MAX) {
		errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
	} else {
		x = add(f, path, strlen(path), (size_t)st.st_size);
		n = read_up_to(fd, x->text, x->len);
		if (n != -1)
			x->len = (size_t)n;
		x->text[x->len] = '\0';
		if (n == -1)
			x = NULL; /* stays in the list, half read: this configuration fails */
	}
	saved = errno;
	close(fd);
	errno = saved;
	return x;
}

const char *
files_get(struct files *f, const char *path, size_t *len)
{
	struct file *x;

	SLIST_FOREACH (x, &f->list, entry)
		if (strcmp(x->path, path) == 0)
			break;
	if (x == NULL && f->received)
		errno = ENOENT;
	else if (x == NULL)
		x = read_file(f, path);
	if (x == NULL)
		return NULL;
	*len = x->len;
	return x->text;
}

bool
files_received(const struct files *f)
{
	return f->received;
}

/* --- publishing ------------------------------------------------------------------------------- */

static void
put_piece(FILE *out, const char *path, const char *text, size_t len)
{
	const uint32_t head[2] = {(uint32_t)strlen(path), (uint32_t)len};

	(void)fwrite(head, sizeof(head), 1, out);
	(void)fwrite(path, 1, head[0], out);
	(void)fwrite(text, 1, len, out);
}

/* The configuration's own text is of a length that is known afterwards only. */
static int
put_conf(FILE *out, const struct conf *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *m = open_memstream(&text, &len);
	int rc = -1;

	if (m == NULL)
		return -1;
	rc = conf_write(c, m);
	if (fclose(m) == EOF)
		rc = -1;
	if (rc == 0)
		put_piece(out, "", text, len);
	free(text);
	return rc;
}

static int
put_all(int fd, const struct files *f, const struct conf *c)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), rc;
	FILE *out = copy == -1 ? NULL : fdopen(copy, "w");
	const struct file *x;

	if (out == NULL) {
		if (copy != -1)
			close(copy);
		return -1;
	}
	setvbuf(out, NULL, _IONBF, 0); /* no copy of secrets on the heap */
	rc = put_conf(out, c);
	SLIST_FOREACH (x, &f->list, entry)
		put_piece(out, x->path, x->text, x->len);
	if (ferror(out))
		rc = -1;
	if (fclose(out) == EOF)
		rc = -1;
	return rc;
}

int
files_publish(const struct files *f, const struct conf *c)
{
	int fd = memfd_create("pgdrove.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING), saved, rc;

	if (fd == -1)
		return -1;
	strongbox_wipe_freed(true);
	rc = put_all(fd, f, c);
	strongbox_wipe_freed(false);
	if (rc == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static bool
take_pieces(struct files *f, const char *at, size_t left)
{
	uint32_t head[2];
	struct file *x;

	while (left > 0) {
		if (left < sizeof(head))
			return false;
		memcpy(head, at, sizeof(head));
		at += sizeof(head);
		left -= sizeof(head);
		if (head[0] > left || head[1] > left - head[0])
			return false;
		x = add(f, at, head[0], head[1]);
		memcpy(x->text, at + head[0], head[1]);
		at += head[0] + head[1];
		left -= head[0] + head[1];
	}
	return true;
}

struct files *
files_receive(int fd, const char **text, size_t *len)
{
	struct files *f = files_new();
	struct stat st;
	void *map;
	bool whole;

	f->received = true;
	if (fstat(fd, &st) == -1 || st.st_size <= 0)
		goto bad;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		goto bad;
	(void)madvise(map, (size_t)st.st_size, MADV_DONTDUMP);
	whole = take_pieces(f, map, (size_t)st.st_size);
	(void)munmap(map, (size_t)st.st_size);
	*text = files_get(f, "", len);
	if (whole && *text != NULL)
		return f;
bad:
	files_free(f);
	return NULL;
}

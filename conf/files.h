/*
 * files: what the files that a configuration names hold, each read once. So the master checks, and
 * every worker uses, the same bytes: the master reads through a `files`, publishes all of it with
 * the configuration's text in a sealed memfd, and the workers read through what they received.
 */
#ifndef CONF_FILES_H
#define CONF_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define FILES_MAX (256L << 20) /* longest file */

struct conf;
struct files;

/* Empty: files are read from the disk when they are asked for. Never NULL. */
struct files *files_new(void);
void files_free(struct files *);

/* The bytes of a file (a zero byte behind them), owned by `files`; NULL with errno. Memory for
 * secrets: whatever is in it is wiped in the end. */
const char *files_get(struct files *, const char *path, size_t *len);

/* Was it published, and so checked, by another process? */
bool files_received(const struct files *);

/* A sealed memfd with the configuration (conf_write) and all that was read for it; -1 with errno.
 */
int files_publish(const struct files *, const struct conf *);
/* The same on the other side: no file of the disk is read. NULL: it was not whole. Then `text` is
 * the configuration's, owned by `files`. */
struct files *files_receive(int fd, const char **text, size_t *len);

#endif

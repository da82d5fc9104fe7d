/*
 * console: the virtual databases `pgbouncer` and `pgdrove`: operators ask and command, in
 * PgBouncer's language, from any worker.
 *
 *   console.c           the session: roles, messages, answers
 *   console_run.c       statements: SHOW and commands
 *   console_extended.c  Parse, Bind, Describe, Close
 *   console_sheet.c     a result: rows, WHERE, ORDER BY, LIMIT, the wire
 *   console_show.c      SHOW: one table of what there is
 *   console_gather.c    SHOW CLIENTS and SERVERS: what other workers know
 */
#ifndef WORKER_CONSOLE_H
#define WORKER_CONSOLE_H

#include "worker/objects.h"

bool console_is(const char *db);
/* By a Unix socket, from our own account: an administrator without a password. */
bool console_owner(const struct client *, const char *user);
/* It has proved who it is. */
void console_login(struct client *, const char *user);
void console_event(struct client *);
/* The client leaves. Safe to call for any. */
void console_fini(struct client *);

/* The master's answer to a command: NULL = done, else what is wrong. */
void console_answer(uint64_t ticket, const uint8_t *why, size_t len);
/* For console_gather.c: what the client `ticket` asked for is all here. */
void console_gathered(uint64_t ticket);

#endif

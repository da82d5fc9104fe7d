/* console_impl: what the files of the console share: console.c, console_run.c, console_extended.c.
 */
#ifndef WORKER_CONSOLE_IMPL_H
#define WORKER_CONSOLE_IMPL_H

#include "proto/wire.h"
#include "worker/objects.h"

#define CONSOLE_TEXT	4096
#define CONSOLE_NAMES	32 /* statements prepared at a time */
#define CONSOLE_FORMATS 48

/* What clients are told at login. */
#define CONSOLE_SERVER_VERSION "15.0/pgdrove"

struct show;

struct console_stmt {
	char *name; /* NULL = free */
	char *text;
};

struct console {
	bool admin;
	bool skip;	 /* an error in the extended protocol: up to Sync */
	uint64_t ticket; /* waits for this; 0 = for nothing */
	bool simple;	 /* it came as Query: ReadyForQuery is owed */
	const struct show *show;
	char text[CONSOLE_TEXT]; /* the statement in work, or bound */
	char verb[24];
	struct console_stmt prepared[CONSOLE_NAMES];
	uint16_t formats[CONSOLE_FORMATS];
	size_t nformats;
};

/* --- console.c: answers --- */

void console_put(struct client *, const struct wire_out *);
void console_put_empty(struct client *, uint8_t type);
void console_put_ready(struct client *);
void console_put_complete(struct client *, const char *tag);
/* In the extended protocol what follows is skipped up to Sync. */
void console_error(struct client *, const char *sqlstate, const char *text);
/* Shall this column go out in binary? For console_sheet.h; `arg` is the struct console. */
bool console_is_binary(void *arg, size_t column);
/* The statement is done: the next may come. */
void console_finished(struct client *);

/* --- console_run.c --- */

/* The next word, quoted or not, into out; returns what follows it. */
const char *console_word(const char *at, char *out, size_t size);
/* What follows SHOW: NULL, or the table's entry and the clause behind it. */
const struct show *console_parse_show(const char *text, const char **clause);
/* The statement in console->text. */
void console_run(struct client *);

/* --- console_extended.c --- */

void console_parse(struct client *, struct wire_in *);
void console_bind(struct client *, struct wire_in *);
void console_describe(struct client *, struct wire_in *);
void console_close_name(struct client *, struct wire_in *);
void console_drop(struct console_stmt *);

#endif

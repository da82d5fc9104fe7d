/*
 * raw: a frontend made of bare sockets. It sends any bytes, reads whole messages, and can hold a
 * scripted dialogue whose answers it writes down as text, so that PostgreSQL's and a pooler's can
 * be compared. Uses none of proto/: a shared mistake would not show.
 */
#ifndef E2E_RAW_H
#define E2E_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- bytes to send --- */

struct bytes {
	uint8_t *p;
	size_t len, size;
};

void put(struct bytes *, const void *, size_t);
void put32(struct bytes *, uint32_t);
/*
 * A message; type 0 = a startup packet. The format says what follows: s char * with its NUL, t the
 * same without it, i int as 4 bytes, h int as 2, b int as 1, r const void * and size_t.
 */
void put_msg(struct bytes *, char type, const char *fmt, ...);
/* The pairs are "name\0value\0...", ended by an empty name. */
void put_startup(struct bytes *, uint32_t protocol, const char *pairs);
/* A text, of 640 bytes at most. */
void note(struct bytes *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bytes_free(struct bytes *);

/* --- a connection --- */

struct target {
	const char *name;
	const char *host; /* numeric address, or a directory */
	int port;
	const char *user, *db;
};

struct raw {
	int fd;
	struct bytes in;
	size_t at; /* of `in`, read so far */
	bool eof;  /* the peer has closed or reset */
};

struct msg {
	char type;
	const uint8_t *body; /* until the next call */
	size_t len;
};

/* False: no connection within some seconds. */
bool raw_open(struct raw *, const struct target *);
void raw_close(struct raw *);
/* Closes with a RST. */
void raw_reset(struct raw *);
/* Sends all while reading what comes, so that long pipelines cannot jam. False: peer gone. */
bool raw_send(struct raw *, const void *, size_t);
bool raw_put(struct raw *, struct bytes *); /* the same, and empties the bytes */
enum raw_got { RAW_MSG, RAW_EOF, RAW_LATE };
/* Waits up to `ms` for one message. */
enum raw_got raw_next(struct raw *, struct msg *, int ms);
/* The same; false: there was none, which is noted in `out`. */
bool raw_heard(struct raw *, struct msg *, struct bytes *out, int ms);
/* One byte that is no message, as after SSLRequest. -1: none. */
int raw_byte(struct raw *, int ms);
/* Up to ReadyForQuery. False: anything else came of it. */
bool raw_login(struct raw *, const struct target *);
bool raw_query(struct raw *, const char *sql);

/* A field of an error's body, "" if absent. The text is static. */
const char *error_field(const struct msg *, char field);
/* Reads to the peer's end; "C M" of the last error, "eof" without one, "late" if it never ends. */
const char *raw_last_words(struct raw *, int ms);

/* --- dialogues --- */

#define SCRIPT_STEPS 32

/* Send, then wait for `count` messages of type `await`. */
struct step {
	struct bytes send;
	char await;
	int count;
};

struct script {
	const char *name;
	struct step step[SCRIPT_STEPS];
	int nsteps;
	bool fatal; /* ends with the connection: only severity, code and text of errors compare */
};

enum pace { PACE_STEPS, PACE_GLUED, PACE_BYTES };

/* Ends the present step: wait for `count` answers of this type. */
void script_await(struct script *, char type, int count);
struct bytes *script_bytes(struct script *);
void script_free(struct script *);
/* The answers, a line each; malloc'd. Always ends with a line that says how it ended. */
char *script_run(const struct script *, const struct target *, enum pace);
/* As steps, all bytes as one stream sent in two pieces, the first `split` bytes long. */
char *script_run_split(const struct script *, const struct target *, size_t split);

#endif

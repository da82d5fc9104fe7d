/*
 * move: the records in which one generation describes to the next what it hands over in an upgrade:
 * a client between two transactions, an idle backend. Pure bytes: who packs and adopts is in
 * worker/.
 *
 * A head {magic, version, kind}, then fields {tag, length, bytes}. The other end may be another
 * binary: a record of another version, with a field that is not known here (unless its tag says
 * that it may be passed over), or without one that is needed, is refused as a whole, and what it
 * describes stays where it is.
 */
#ifndef PROTO_MOVE_H
#define PROTO_MOVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/scram.h"
#include "proto/wire.h"

/* Another meaning of what is there: another version. More of it: another tag. (The tests build a
 * later one.) */
#ifndef MOVE_VERSION
#define MOVE_VERSION 1
#endif

#define MOVE_NAME_MAX	64 /* bytes of a name, its NUL counted */
#define MOVE_KEY	32
#define MOVE_SERVER_KEY 256
#define MOVE_ADDR_MAX	128
#define MOVE_RECORD_MAX (16U << 20) /* more stays where it is */

enum move_kind { MOVE_CLIENT = 1, MOVE_BACKEND };

/* Numbers are for ever. */
enum move_tag {
	MOVE_DB = 1,		/* text */
	MOVE_POOL_USER,		/* text: user at the server */
	MOVE_USER,		/* text: who the client logged in as */
	MOVE_IDENTITY,		/* its number and key, as given to it */
	MOVE_ADDRESS,		/* of its socket */
	MOVE_TIMES,		/* monotonic: connected, last active */
	MOVE_PARAMS,		/* params_pack */
	MOVE_START,		/* the same, of what it logged in with */
	MOVE_STATEMENT,		/* one prepared statement; any number of them */
	MOVE_INPUT,		/* bytes of it that were read and not looked at */
	MOVE_SECRET,		/* text: with which its pool logs in to the server */
	MOVE_SCRAM,		/* the same for SCRAM */
	MOVE_SERVER,		/* of a backend: what the ledger knows of it */
	MOVE_FACTS,		/* of a backend: facts_pack */
	MOVE_WELCOME,		/* of a backend's pool: its ParameterStatus messages */
	MOVE_LINK,		/* it keeps its backend, which came before: why, in what state */
	MOVE_MAY_SKIP = 0x8000, /* this bit: who does not know the tag passes the field over */
	/* What it was told of settings known by their names, at its login and last: gucs_bytes */
	MOVE_TOLD_FIRST = MOVE_MAY_SKIP | 17,
	MOVE_TOLD_LAST = MOVE_MAY_SKIP | 18
};

/* Bytes that point into the record. */
struct move_bytes {
	const uint8_t *p; /* NULL = not there */
	size_t len;
};

struct move_client {
	const char *db, *pool_user, *user;
	int32_t pid;
	uint8_t key[MOVE_KEY];
	bool long_key, settled, is_unix;
	uint8_t addr[16];
	uint16_t port;
	int64_t born_us, active_us;
	struct move_bytes params, start, input;
	struct move_bytes told_first, told_last; /* both or none */
	const char *secret;			 /* NULL = none */
	struct scram_keys scram;		 /* iterations 0 = none */
	bool linked;				 /* with the backend of the message before; then: */
	uint32_t pins;				 /* worker/session.h */
	bool dirty, spoiled;			 /* worker/objects.h: struct backend */
	struct move_bytes all;			 /* for move_statement */
};

struct move_statement {
	bool unnamed, used, own, stand_in; /* worker/statements.h: struct stmt_name */
	uint64_t since;
	const char *name;
	struct move_bytes settings, body;
};

struct move_backend {
	const char *db, *pool_user;
	int32_t pid;
	uint8_t key[MOVE_SERVER_KEY];
	uint32_t key_len;
	uint8_t addr[MOVE_ADDR_MAX];
	uint32_t addr_len;
	int64_t opened_us;
	uint64_t dest;
	struct move_bytes facts;
	struct move_bytes welcome; /* whole messages */
};

/* --- writing: into `w`, whose `failed` says that it did not fit --- */

void move_begin(struct wire_out *, enum move_kind);
/* A field is begun, filled with wire_*, and ended with what the beginning returned. */
size_t move_field(struct wire_out *, enum move_tag);
void move_field_end(struct wire_out *, size_t at);
void move_text(struct wire_out *, enum move_tag, const char *);
/* All but params, start, input and the statements, which are the caller's to add. */
void move_put_client(struct wire_out *, const struct move_client *);
/* The field's head; its settings and then its body are the caller's to add, each as a length and
 * bytes. */
size_t move_put_statement(struct wire_out *, const struct move_statement *);
/* All but the facts and the welcome. */
void move_put_backend(struct wire_out *, const struct move_backend *);

/* --- reading: false = refused --- */

bool move_get_client(struct move_client *, const uint8_t *, size_t);
bool move_get_backend(struct move_backend *, const uint8_t *, size_t);
/* The statements one after the other; *at begins with 0. False: there is no other. */
bool move_statement(const struct move_client *, size_t *at, struct move_statement *);

#endif

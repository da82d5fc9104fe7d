/*
 * statements: prepared statements that follow a client from backend to backend (design.md 6).
 *
 *   statements.c          the texts: interned per worker, with the name they have on every server
 *   statements_names.c    what a client calls them
 *   statements_backend.c  which of them a backend has prepared
 *
 * A statement is what a Parse message carries (text and parameter types) and the settings that
 * change what parsing means; its name on the server is a hash of all that, so that every worker
 * derives the same one and no two meanings share a name. Who sends what when is in gate.c.
 */
#ifndef WORKER_STATEMENTS_H
#define WORKER_STATEMENTS_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/params.h"
#include "worker/session.h"

struct backend;
struct client;
struct wire_out;

/* --- statements.c --- */

#define STATEMENT_DIGEST    16
#define STATEMENT_PREFIX    "pgdrove_"
#define STATEMENT_NAME_SIZE (sizeof(STATEMENT_PREFIX) + (size_t)STATEMENT_DIGEST * 2)
/* A name no server has: closing it does nothing, using it is an error. */
#define STATEMENT_NONE STATEMENT_PREFIX "none"
/* One that is made to be deallocated at once. */
#define STATEMENT_GONE STATEMENT_PREFIX "gone"
/* One that is there already when a client's Parse must meet one. */
#define STATEMENT_TWICE STATEMENT_PREFIX "twice"

/* Who has sent an unnamed one longer than this, and used it, is not likely to use it again: it is
 * forgotten when the client leaves the backend. A thousand clients with a bulk INSERT each would
 * keep all of them. */
#define STATEMENT_LONG 262144U

/* What Describe has told of a statement. It depends on the database and its user, whose tables they
 * are, and on changes of these: the same text has other types elsewhere. */
struct description {
	uint8_t *types; /* the body of ParameterDescription; NULL = not known */
	uint32_t len;
	bool rows;	   /* it returns rows */
	bool lent;	   /* it is of the same text's Parse under other settings */
	uint64_t pool;	   /* id of the pool where that was */
	uint64_t from, to; /* DDL generations under which it was parsed */
};
/* In place of a generation: what is told is of this client's own tables, and not to be learned. */
#define DDL_PRIVATE UINT64_MAX

struct statement {
	struct statement *next; /* of its bucket */
	uint64_t hash;
	uint32_t refs;
	bool named;   /* digest and name are known */
	bool forgets; /* DEALLOCATE, DISCARD: may forget names when run */
	bool looks;   /* its Parse surely looks into tables: gate_block.c */
	bool sets_transaction;
	uint8_t digest[STATEMENT_DIGEST];
	char name[STATEMENT_NAME_SIZE];
	struct params settings;	   /* those it was parsed under */
	struct session_note *note; /* what it does to its session; NULL = nothing */
	TAILQ_ENTRY(statement) spare;
	uint32_t len; /* of the body: text, NUL, number of types, types */
	const uint8_t *body;
	void *memory; /* it lies in, ours; NULL = behind this */
	struct description described;
};

void statements_init(void);
/* The one with this Parse body under these settings; the caller's to drop. */
struct statement *statement_get(const struct params *settings, const uint8_t *body, size_t len);
/* The same with a body in malloc'd memory, which becomes the statement's if it has none of this
 * body yet: *memory is NULL then. */
struct statement *statement_get_in(
    const struct params *settings, const uint8_t *body, size_t len, void **memory);
void statement_hold(struct statement *);
/* NULL is allowed. One that nobody holds is kept for a while. */
void statement_drop(struct statement *);
/* True if it was parsed under these. */
bool statement_fits(const struct statement *, const struct params *settings);
const char *statement_text(const struct statement *);
/* Its ParameterDescription came, in this pool, of a Parse under DDL generation `since`. That it
 * returns no rows is told later, if so. */
void statement_described(
    struct statement *, uint64_t pool, uint64_t since, const uint8_t *types, size_t len);
/* It takes the place of `s`, of the same text, for a client whose Parse was under other settings:
 * what is known of that one holds for it, if nothing else is known. */
void statement_described_as(struct statement *, const struct statement *s);
/* It is known what Describe tells of one that was parsed in this pool under this generation. */
bool statement_is_described(const struct statement *, uint64_t pool, uint64_t since);
/* Sets what is told, and that it returns rows. */
void description_set(struct description *, const uint8_t *types, size_t len);
/* Its name on the servers; makes it when first asked. */
const char *statement_name(struct statement *);
void statement_digest_name(const uint8_t *digest, char *out);

/* --- statements_names.c --- */

/* What Describe has told of a statement, for this client only. */
struct told {
	struct statement *of;
	struct description description;
};

struct stmt_name {
	struct stmt_name *next;
	uint32_t refs;	  /* requests under way that decide about it; +1 while listed */
	uint32_t pending; /* of these, not yet answered */
	uint32_t group;	  /* when the last of them was sent: expect.sent_ends */
	uint64_t since;	  /* DDL generation when the client prepared it */
	uint32_t hash;
	bool used;		/* the unnamed one: bound since its Parse */
	bool own;		/* the backend has it by this name: gate_own.c */
	bool stand_in;		/* ... but something else in its place */
	bool listed;		/* ... and has said so: session_probe.c */
	struct statement *stmt; /* NULL = there is none, or not any more */
	struct told *told;	/* NULL = nothing */
	char text[];
};

struct stmt_names {
	struct stmt_name **buckets;
	uint32_t size, n;
	struct stmt_name *unnamed;
	/* In this group something may run that forgets all names (1 + the group, 0 = none). */
	uint32_t forgets;
};

/* What Describe tells of a statement by this name (NULL = the unnamed one), that was parsed in this
 * pool under this generation; NULL = that is not known. */
const struct description *description_of(
    const struct statement *, const struct stmt_name *, uint64_t pool, uint64_t since);
/* What it has told of `s` by this name, for this client only; NULL = nothing. */
struct description *name_told(const struct stmt_name *, const struct statement *s);
/* It does so now. As statement_described. */
void name_described(struct stmt_name *, struct statement *s, const uint8_t *types, size_t len);

/* The client's names, made when it has none yet. */
struct stmt_names *names_of(struct client *);
void names_free(struct client *);
/* May this text forget names? */
bool sql_forgets(const char *text, size_t len);
/* NULL = it does not know it. The text need not end with NUL. */
struct stmt_name *name_find(struct stmt_names *, const char *text, size_t len);
struct stmt_name *name_add(struct stmt_names *, const char *text, size_t len);
struct stmt_name *name_unnamed(struct stmt_names *);
/* Nobody decides about it any more and there is no statement: forgets it. */
void name_settled(struct client *, struct stmt_name *);
void name_drop(struct stmt_name *);
/* DEALLOCATE ALL has run: forgets all that no request under way decides about. */
void names_clear(struct client *);
/* Names the backend has by themselves: is there any? */
bool names_own(const struct client *);
/* What it says it has: those of them it does not name are gone. `keep`: the rest stays as it is,
 * else it is left behind on the backend: true if there is any. */
bool names_listed(struct client *, bool keep);
/* ... an EXECUTE among them means what it meant when it was parsed there. */
bool names_listed_execute(const struct client *);

/* --- statements_backend.c --- */

struct prep {
	struct prep *next; /* of its bucket */
	TAILQ_ENTRY(prep) lru;
	uint8_t digest[STATEMENT_DIGEST];
	uint32_t pending, group; /* as in stmt_name */
	uint32_t parsed;	 /* group its Parse was sent in */
	bool there;
	bool tainted;	/* what is there may have another meaning: close it before use */
	uint64_t since; /* DDL generation when it was parsed */
};
TAILQ_HEAD(prep_lru, prep);

struct prepared {
	struct prep **buckets; /* NULL until the first */
	struct prep_lru lru;   /* latest use first */
	uint32_t n;
	struct statement *unnamed; /* the server's unnamed statement; NULL = not known */
	uint32_t unnamed_pending, unnamed_group; /* its last Parse */
	bool unnamed_dropped;  /* what was sent in a later group makes the server forget it */
	bool unnamed_doubtful; /* as prep.tainted */
	uint32_t tenure;       /* its client's first group */
	uint64_t unnamed_since;
};

void prepared_init(struct prepared *);
void prepared_fini(struct prepared *);
struct prep *prep_find(struct prepared *, const uint8_t *digest);
/* A new entry, not there yet. */
struct prep *prep_add(struct prepared *, const uint8_t *digest);
void prep_used(struct prepared *, struct prep *);
void prep_remove(struct prepared *, struct prep *);
/* The least used one that may be closed; NULL = none. */
struct prep *prep_oldest(struct prepared *);
/* DEALLOCATE ALL has run there. */
void prepared_clear(struct prepared *);
/* A client comes; `group` will be its first. */
void prepared_came(struct prepared *, uint32_t group);
/* It was parsed for the client that is there now. */
static inline bool
prep_is_own(const struct prepared *p, const struct prep *e)
{
	return (int32_t)(e->parsed - p->tenure) >= 0;
}
/* It was not parsed anew after all. */
static inline void
prep_disown(const struct prepared *p, struct prep *e)
{
	e->parsed = p->tenure - 1;
	e->since = 0;
}
/* Its client leaves: a long one that is unnamed is not kept for others. */
void prepared_left(struct prepared *);
/* The unnamed statement is now this one (NULL = not known). */
void prepared_unnamed(struct prepared *, struct statement *);
/* A Query, or a Close of it, is sent in this group (expect.sent_ends). */
void prepared_drop_unnamed(struct prepared *, uint32_t group);
/* A setting that changes what parsing means has changed: those whose Parse was sent in this group
 * or later may have seen the new value. */
void prepared_taint(struct prepared *, uint32_t group);
/* STATEMENT_NAME_SIZE bytes. */
void prep_name(const struct prep *, char *out);
/* For a hand-over. */
void prepared_pack(const struct prepared *, struct wire_out *);
bool prepared_unpack(struct prepared *, const uint8_t *, size_t);

/* Grows when somebody may have changed what statements mean. */
uint64_t ddl_generation(void);
void ddl_happened(void);

#endif

/*
 * session: what a client's statements do to its session, in transaction and statement mode, so that
 * it finds the same session on whatever backend serves it next (design.md 6).
 *
 *   session.c        what texts may do (notes), and what follows at a transaction's end
 *   session_probe.c  asks the backend where the text is no proof
 *   session_pin.c    reasons to keep a backend: names, counts, the time limit
 *   session_told.c   what the client is told of settings that it resets
 *
 * Texts are scanned as they pass (proto/sql.h). Most do nothing that outlives their transaction. A
 * transaction that was one SET and nothing else is believed; after every other that may have
 * changed something the backend is asked one question before anybody else has it, so that ROLLBACK,
 * savepoints, errors and pipelines need not be understood, only PostgreSQL's word. What can be set
 * elsewhere follows the client (params.h); what cannot pins the backend to it.
 *
 * A function that a statement calls may set what it likes. The server tells of it for the settings
 * it reports; asking after each such statement would cost a round trip and a scan of pg_settings.
 * So it is not asked: what was set stays with the backend for the caller, and is reset, ahead of
 * the request and in the same send, when another client gets it. Functions of PostgreSQL's own set
 * nothing (proto/sql_words.h). What the text does not show is not known: triggers, views,
 * operators, casts, defaults.
 */
#ifndef WORKER_SESSION_H
#define WORKER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/sql.h"
#include "worker/params.h"

struct backend;
struct client;
struct pool;

/* Reasons to keep a backend beyond the transaction; their names are in session_pin.c. Numbers are
 * for ever: they travel between binaries (proto/move.h). */
enum session_pin {
	PIN_TEMP,
	PIN_LISTEN,
	PIN_LOCKS,
	PIN_CURSORS,
	PIN_PREPARED, /* PREPARE */
	PIN_SEQUENCE, /* currval(), lastval() */
	PIN_SEED,
	PIN_LOAD,
	PIN_OTHER,    /* dblink_connect() and the like */
	PIN_SETTINGS, /* session_state = "pin" */
	PINS
};
#define PIN(reason) (1U << PIN_##reason)
/* These end with the session only: the backend is closed then. */
#define PINS_FOR_EVER (PIN(SEED) | PIN(LOAD) | PIN(OTHER))
/* The server can tell whether they hold. */
#define PINS_ASKED (PIN(TEMP) | PIN(LISTEN) | PIN(LOCKS) | PIN(CURSORS) | PIN(PREPARED))

/* What a text may do to its session; NULL = nothing. */
struct session_note {
	uint32_t pins;		    /* it makes these true */
	uint32_t maybe;		    /* it may */
	uint32_t frees;		    /* it may end these, if they hold */
	uint32_t ends;		    /* it does, if it succeeds */
	bool touches;		    /* settings change, be it for the transaction only */
	bool all;		    /* settings unknown to us may change */
	bool reset_all;		    /* RESET ALL, DISCARD ALL */
	bool sure;		    /* a single statement, and `changes` is all it does */
	bool names;		    /* PREPARE, EXECUTE, DEALLOCATE of a name */
	bool executes;		    /* EXECUTE among them */
	bool calls;		    /* a function that may set something */
	const struct gucs *changes; /* name -> "=value", "-" (reset) or "?" */
};

/* A client's part. */
struct session_part {
	uint32_t pins;
	/* Since the last transaction's end: */
	struct session_note open; /* all notes together; sure = that of the only text */
	uint32_t texts, completes, errors;
	uint32_t group; /* expect.sent_ends when a text first touched settings */
	bool probing;
	bool held;   /* PIN_PREPARED holds only because others do */
	bool ask;    /* it must be asked about open.maybe, be the texts as they may */
	bool resets; /* they may reset something of its login */
	/* session_told.c */
	uint8_t nwithheld; /* reported settings whose reports it has not got, in their order */
	uint8_t withheld[PARAMS_N];
	const struct gucs *reports; /* ... of settings known by their names only */
	bool ready;		    /* its ReadyForQuery waits for what its settings are */
	/* Settings of its login that the server reports, known by their names only: what it was
	 * told at its login, and last. */
	const struct gucs *told_first, *told_last;
	/* A text that streams by: NULL = none. */
	struct sql_scan *scan;
	bool skip_name; /* of a Parse */
	/* What it logged in with. */
	struct params start;
};

/* Are this client's texts looked at? */
bool session_watches(const struct client *);

/* A note of a whole text read under these settings, or NULL; to free with session_note_free. And
 * what its first statement is. */
struct session_note *session_note_of(
    const struct params *, const void *text, size_t len, enum sql_class *first);
void session_note_free(struct session_note *);
/* A text with this note (may be NULL) is about to be run. */
void session_noted(struct client *, const struct session_note *);
/* A function is about to be called by a message. */
void session_called(struct client *);

/* What is in the text of a Query whose body is whole: the scanner's, until the next text; NULL if
 * there is nothing. session_text for the same body does not scan it again. */
const struct sql_facts *session_look(struct client *, const uint8_t *body, size_t len);
/* The Query that session_look found nothing in is passed on; in the place of session_text. */
void session_passed(struct client *);

/* It reads what another session's use of sequences would falsify: currval(), lastval(). */
static inline bool
session_reads_sequences(const struct session_note *n)
{
	return n != NULL && (n->pins & PIN(SEQUENCE)) != 0;
}

/* Names of prepared statements in a text, each once, as far as they have room. */
#define SESSION_NAMES 16
struct session_names {
	uint32_t n;
	bool real[SESSION_NAMES]; /* first mentioned by EXECUTE or DEALLOCATE */
	char v[SESSION_NAMES][64];
};
void session_names_in(const struct sql_facts *, struct session_names *);
/* The same, and the highest parameter, of a text that was parsed under these settings. */
uint32_t session_names_of(
    const struct params *, const void *text, size_t len, struct session_names *);

/* The body of a Query or Parse begins: `avail` of its `len` bytes. The rest, if any, must come
 * through session_text_more. */
void session_text(struct client *, uint8_t type, const uint8_t *body, size_t avail, size_t len);
void session_text_more(struct client *, const uint8_t *bytes, size_t n, bool last);

/* CommandComplete, ErrorResponse. */
static inline void
session_complete(struct session_part *s)
{
	s->completes++;
}
static inline void
session_error(struct session_part *s)
{
	s->errors++;
}

/*
 * May this text (with its NUL) be sent with something unanswered ahead of it? It is a single
 * statement that neither streams data nor depends on what was prepared or drawn from sequences.
 */
bool session_stands_alone(struct client *, const uint8_t *text, size_t len);
/* Nothing of its texts since the last transaction's end was run. */
void session_undone(struct client *);

enum session_end {
	SESSION_RELEASE, /* the backend may go */
	SESSION_KEEP,	 /* it is pinned */
	SESSION_ASKING	 /* a query of ours runs on it: relay_settled will be called */
};
/* Its transaction has ended. */
enum session_end session_settle(struct backend *);

/* It has logged in, and run nothing: what it has now is what RESET gives it back. */
void session_begin(struct client *);
/* A reported setting of its own is this from now on (one of params.h's strings). */
void session_has(struct client *, int i, const char *value);
void session_fini(struct client *);
/* It leaves this backend for good in whatever state: what must be cleared away there. */
void session_leave(struct client *, struct backend *);
/* server_reset_query was run on it. */
void session_was_reset(struct backend *);

/* session_probe.c */
void session_probe(struct backend *);
/* What the answer says about one setting (NULL = it has none) and about pins. */
void session_learn(struct backend *, const char *name, const char *value);
void session_learned(struct backend *, uint32_t pins);
/* A statement the backend has prepared by a message, under a name of the client's. */
void session_learn_name(struct backend *, const char *name, size_t len);
void session_unknown(struct backend *, const char *why);

/*
 * session_told.c: RESET gives the backend its own value and the client that of its login. While it
 * is linked, params.v of the client is what it was told last.
 */
/* What setting i is to the client is open: it may have been reset to another value than that of its
 * login. */
bool session_in_doubt(const struct backend *, int i);
/* The server has reported it: true = that is open, and the client is not told yet. */
bool session_withholds(const struct backend *, int i);
/* What most transactions do not: then no setting is in doubt. */
static inline bool
session_may_reset(const struct session_note *open)
{
	return open->changes != NULL || open->reset_all || open->all;
}
/* Might it hold a ReadyForQuery back, or say something ahead of it? */
static inline bool
session_may_hold(const struct session_part *s)
{
	return session_may_reset(&s->open) || s->nwithheld > 0 || s->reports != NULL || s->ready;
}
/* ReadyForQuery is at hand, and with it the border (`last`) or not. True: it is held back until
 * session_say_ready. */
bool session_holds_ready(struct backend *, bool last);
void session_say_ready(struct backend *);
/* It is told that setting i is this now, if that is news. */
void session_tell(struct client *, int i, const char *value);
/* The same three of settings that are known by their names only. */
void session_told_at_login(struct client *, const char *name, const char *value);
bool session_withholds_report(const struct backend *, const uint8_t *body, size_t len);
/* A setting (NULL = all) has been reset: it has the login's value again. */
void session_tell_login(struct client *, const char *name);
/* May texts with this note reset something that came with its login? */
bool session_resets_login(const struct client *, const struct session_note *);
/* Such a text is under way, and a message at hand would begin a request that met the server's own
 * value: it waits until the transaction is over. */
bool session_waits(const struct client *, uint8_t type);

/* session_pin.c */
const char *session_pin_name(enum session_pin);
/* For a client that is sent away: what it kept its backend for, in a static buffer. */
const char *session_pin_hint(const struct client *);
/* The pins are these from now on: counts. */
void session_set_pins(struct client *, uint32_t pins);

#endif

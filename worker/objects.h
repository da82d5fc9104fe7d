/*
 * objects: the three things a worker is made of and how they hang together: pools, clients,
 * backends. The bodies are here because client, backend, relay and pool work on the same links;
 * each field names the file that writes it.
 *
 *   client --- pool --- backend         a client belongs to one pool for life
 *   client <-> backend                  linked while a transaction (session mode: the session)
 * lasts
 */
#ifndef WORKER_OBJECTS_H
#define WORKER_OBJECTS_H

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "proto/scram.h"
#include "proto/startup.h"
#include "shm/ledger.h"
#include "worker/conn.h"
#include "worker/expect.h"
#include "worker/params.h"
#include "worker/session.h"
#include "worker/statements.h"
#include "worker/state.h"

enum client_state {
	CLIENT_STARTUP, /* first packets */
	CLIENT_AUTH,	/* proves who it is: client_auth.c */
	CLIENT_LOGIN,	/* waits for the pool's welcome (a first backend) */
	CLIENT_IDLE,	/* logged in, no backend */
	CLIENT_WAITING, /* in the pool's queue */
	CLIENT_ACTIVE,	/* linked */
	CLIENT_CONSOLE, /* an operator: console.c */
	CLIENT_MOVING,	/* on its way to the next generation: handover.c */
	CLIENT_CANCEL,	/* a CancelRequest in work: closed when done */
	CLIENT_CLOSING	/* last words sent, reads to the peer's end so that they arrive */
};

/*
 * Of clients and backends the fields that a transaction touches come first, so that they share few
 * lines of the processor's cache (LOOP_LINE bytes, see loop_soon): between two transactions of one
 * client others push them out.
 */
struct client {
	struct conn conn;
	enum client_state state;
	enum startup_replication replication; /* then its backend is its own: replication.h */
	struct backend *backend;
	struct pool *pool;
	const struct conf_user *who; /* its settings; NULL = it has no entry */
	const char *dismissed;	     /* it shall leave at the next border, and why; or NULL */
	/* What it has asked for is answered with this error, up to ReadyForQuery; NULL = nothing */
	const struct wire_error *reject;
	struct gate_big *big; /* a message that must be seen whole and is longer than a buffer */
	struct stmt_names *names; /* of its prepared statements; NULL = it has had none */
	int64_t since_us;	  /* start of the present wait or of the connection */
	int64_t active_us;	  /* last time it logged in or left a backend */
	bool settled;		  /* a backend has once taken its settings */
	bool stalled;		  /* its next message waits for an answer: gate.c */
	bool notified;		  /* of its present wait, by a NOTICE */
	TAILQ_ENTRY(client) queue;
	struct params params;
	struct session_part session;

	bool long_key;	/* protocol 3.2 */
	bool asked_ssl; /* and was answered */
	bool asked_gss;
	bool proxied;	       /* its balancer still has to say who it is */
	bool internal;	       /* ours, at the other end of a socket pair: lookup_session.c */
	bool reject_said;      /* the ErrorResponse of `reject` was sent, ReadyForQuery is owed */
	uint8_t refused;       /* ... where the hand-over goes: it stays (enum handover_to) */
	uint16_t port;	       /* of the peer, 0 = Unix socket */
	uint32_t row;	       /* in the client table, TABLE_NONE before login */
	int32_t pid;	       /* as shown to the client */
	struct in6_addr addr;  /* of the peer, IPv4 mapped */
	uint64_t ticket;       /* CLIENT_CANCEL: what the acknowledgement will name */
	struct tls_ctx *offer; /* its listener's; NULL = no TLS there */
	uint8_t *refusal;      /* in the place of `reject`: the body of an error of the server's */
	size_t refusal_len;
	struct client_auth *auth;	/* while it logs in */
	struct console *console;	/* CLIENT_CONSOLE */
	struct backend *coming;		/* its own, while that is being opened: replication.h */
	char *user;			/* who it logged in as */
	uint32_t groups[LEDGER_GROUPS]; /* counted in: index + 1, 0 = not (pool_limit.c) */
	int64_t born_us;		/* connected */
	struct timer timer;
	TAILQ_ENTRY(client) all;
};

enum backend_state {
	BACKEND_CONNECTING, /* resolving, connecting */
	BACKEND_LOGIN,	    /* authentication up to the first ReadyForQuery */
	BACKEND_IDLE,	    /* in the pool's list */
	BACKEND_ACTIVE,	    /* linked, the relay has it */
	BACKEND_TASK,	    /* runs a query of ours: SET, reset, ROLLBACK, the steward's look */
	BACKEND_DRAINING,   /* its client went away: reads to ReadyForQuery */
	BACKEND_HELD,	    /* clean, but a cancel request is still on its way to it */
	BACKEND_MOVING,	    /* on its way to the next generation: handover.c */
	BACKEND_CLOSING	    /* Terminate sent, waits for the server's end */
};

/* How far its client's settings are: replay.h. */
enum replay_state {
	REPLAY_NONE,	/* it has them */
	REPLAY_OWED,	/* it has not, and nothing was sent yet */
	REPLAY_SENT,	/* they are under way, with a request behind them */
	REPLAY_REFUSED, /* it did not take them: the request is not run */
	REPLAY_UNENDED	/* the same, and a Sync of ours is to go behind the client's message */
};

struct cancel;
struct login;
LIST_HEAD(cancel_list, cancel);

struct backend {
	struct conn conn;
	enum backend_state state;
	char status;   /* of the last ReadyForQuery: I, T, E */
	bool doomed;   /* a cancel request may hit it at any time: not to be used again */
	bool dirty;    /* server_reset_query is owed */
	bool spoiled;  /* nothing makes it as new: to be closed */
	bool checking; /* runs server_check_query: pool_check.c */
	bool cleaning; /* counted in sv_cleaning */
	bool own;      /* of one client for life: replication.h */
	bool lasted;   /* has answered a query since its login */
	bool lingers; /* nothing is owed, but its client's COPY data: it goes when these are sent */
	bool said_last; /* a FATAL error came from the server: it closes by itself, and told why */
	bool ddl;	/* the open transaction has changed definitions */
	uint8_t block;	/* gate_block.c: what is known of the open transaction block */
	enum replay_state replay;
	uint32_t slot; /* TABLE_NONE: a connection outside the ledger (the steward's) */
	struct pool *pool;
	struct client *client;
	int64_t since_us;	    /* connecting, linked, or idle, since */
	int64_t xact_us;	    /* the transaction began; 0 = none */
	int64_t query_us;	    /* it has been answering since; 0 = nothing is owed */
	int64_t quiet_us;	    /* the last answer was complete */
	struct timer deadline;	    /* deadline.c */
	TAILQ_ENTRY(backend) list;  /* pool.idle or pool.held */
	char *sql;		    /* slow.c; NULL = nothing noted */
	struct cancel_list cancels; /* on their way to this backend */
	struct params params;
	struct prepared prepared;
	struct ledger_backend facts;
	struct expect expect; /* of which the first entries */

	struct client *meant_for; /* while it is opened: whose own it will be */
	struct timer timer;	  /* of our own doings: logging in, tasks, closing */
	struct login *login;	  /* while connecting and logging in: backend_login.c */
	/* BACKEND_TASK: rows may be NULL; done gets the error's body or NULL; not called if the
	 * connection is lost */
	void (*task_row)(struct backend *, const uint8_t *body, size_t len);
	void (*task_done)(struct backend *, const uint8_t *error, size_t len);
	uint32_t probed;     /* session_probe.c: the reasons to pin it that hold */
	uint8_t *task_error; /* of a replay too */
	size_t task_error_len;
	/* outside the ledger: after login, and when it ends in whatever way */
	void (*ready)(struct backend *);
	void (*gone)(struct backend *);
};

/* Zeroed, at the beginning of such a line; NULL = no memory. free() takes it back. */
static inline void *
object_new(size_t size)
{
	size_t whole = (size + LOOP_LINE - 1) / LOOP_LINE * LOOP_LINE;
	void *p = aligned_alloc(LOOP_LINE, whole);

	if (p != NULL)
		memset(p, 0, whole);
	return p;
}

struct targets;

TAILQ_HEAD(client_queue, client);
TAILQ_HEAD(backend_queue, backend);

struct pool {
	RB_ENTRY(pool) by_name;
	char db[CONF_NAME_SIZE];
	char user[CONF_NAME_SIZE];
	const struct conf_database *conf; /* never NULL: see orphan */
	struct conf_database *orphan;	  /* the entry is gone: a copy of it; else NULL */
	uint64_t id;			  /* no other of this worker's has or had it */
	uint64_t dest;			  /* where its backends lead; 0 = nowhere */
	bool hold;			  /* paused or suspended: no backend is used */
	bool paused;			  /* ... and none is kept */
	int64_t fresh_us;		  /* backends born before are to be closed (RECONNECT) */
	bool pinned;			  /* by min_pool_size: counts as a client */
	bool shrunk;			  /* its limits were lowered, and it may be above them */
	const char *secret; /* to log in with: a password, or what may stand for it; may be NULL */
	char *own_secret;   /* secret, if it is not the conf's: wiped at the end */
	enum pool_mode mode;
	enum session_state session_state;
	struct ledger_limits limits; /* pool_size, max_db_connections, max_user_connections */
	uint32_t min_size;
	uint32_t reserve_size;
	int64_t wait_timeout_us;   /* query_wait_timeout */
	int64_t lifetime_us;	   /* server_lifetime */
	uint32_t index;		   /* in the table */
	struct stats_pool *row;	   /* ours */
	struct stats_times *times; /* ours too */
	struct client_queue waiting;
	struct client_queue logins;
	struct client_queue replicas; /* who wait for a backend of their own: replication.c */
	uint32_t nlogins;
	uint32_t nreplicas;
	uint32_t nwaiting;
	uint32_t nclients;
	uint32_t nstreams;  /* ... of replication */
	uint32_t nbackends; /* in any state */
	uint32_t nown;	    /* ... of one client each */
	uint32_t nopening;
	uint32_t nsetup;	   /* backends whose connect_query runs: their welcome is to come */
	uint32_t nchecking;	   /* idle ones that are proving that they work */
	struct backend_queue idle; /* newest first */
	struct backend_queue held; /* by clients, longest first */
	struct timer timer;	   /* armed while somebody waits */
	struct loop_source pump;   /* no fd: pool_pump at the end of this turn of the loop */
	uint32_t asked;	      /* pool_share.c: idle backends other workers were asked for ... */
	int64_t asked_us;     /* ... last at this time */
	uint32_t vain;	      /* ... so often in a row that nothing came */
	int64_t gave_us;      /* a backend was last given to another worker */
	uint64_t looked;      /* in this turn of the loop at the others' queues ... */
	int64_t elsewhere_us; /* ... whose longest wait began then, 0 = nobody waits */
	int64_t cleared_us;   /* replication.c: an idle one was last closed to make room */
	/* pool_open.c: the hosts (NULL: not looked at yet); what has failed since when, in a row;
	 * no attempt before, unless it was a host's fault and the host works again */
	struct targets *targets;
	uint64_t failures;
	int64_t down_us, failed_us, retry_us;
	bool may_pass; /* the last failure is of a kind that passes by itself */
	bool by_host;  /* ... and no host was left to try */
	bool full;     /* the server has no place for us */
	bool brief;    /* it was a session that the server ended before it had answered anything */
	/* pool_limit.c: the shared limit that denies us a place (LEDGER_OK: none does) */
	enum ledger_result denied;
	int64_t evicted_us; /* when we last asked for another pool's place, and which worker */
	uint32_t evicted_at;
	uint8_t *error; /* the last failed login's ErrorResponse, to show to those who wait */
	size_t error_len;
	bool welcomed;
	struct params defaults;	  /* what the welcome says */
	struct scram_keys *scram; /* in the strongbox */
	TAILQ_ENTRY(pool) all;
};

/* Somebody waits for a backend, or for the welcome that the first one brings. */
static inline bool
pool_has_waiters(const struct pool *p)
{
	return p->nwaiting + p->nlogins + p->nreplicas > 0;
}

/* When this client's backend goes to others. */
static inline enum pool_mode
client_mode(const struct client *c)
{
	return c->replication == REPLICATION_NONE ? c->pool->mode : POOL_SESSION;
}

#endif

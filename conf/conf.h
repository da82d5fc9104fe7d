/*
 * conf: the configuration model. A struct conf is complete and immutable once loaded.
 *
 * Scalars live in ONE table, conf/options.def, which makes the struct members, the loader, the
 * checks, the defaults and (through a test) the manual page. Lists (listen, databases, users) are
 * read by conf/load.c.
 *
 * Times are held in microseconds (`_us`), sizes in bytes (`_bytes`).
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "conf/kinds.h"
#include "conf/log.h"

/* Longest database and user names, with the final NUL. PostgreSQL's own limit is 63 bytes. */
#define CONF_NAME_SIZE 64

enum pool_mode { POOL_SESSION, POOL_TRANSACTION, POOL_STATEMENT };

/* Which of a database's hosts a new backend tries first: the first, each in turn, any. */
enum load_balance { BALANCE_DISABLE, BALANCE_ROUND_ROBIN, BALANCE_RANDOM };

/* What becomes of a client's SET and the like in transaction and statement mode: it follows the
 * client; the client keeps its backend; nobody cares. */
enum session_state { SESSION_TRACK, SESSION_PIN, SESSION_IGNORE };

/* trust: the user must be known (in users, or "*" there). any: any name is let in, for forced-user
 * databases. md5: with a stored SCRAM verifier, SCRAM is used. scram-sha-256-plus: SCRAM that is
 * bound to the TLS connection, and nothing less. peer: the account at the other end of a Unix
 * socket has that name. pam, ldap: the password is right there (conf/external.h). hba: what the
 * rule says that fits. */
enum auth_type {
	AUTH_TRUST,
	AUTH_ANY,
	AUTH_PASSWORD,
	AUTH_MD5,
	AUTH_SCRAM,
	AUTH_SCRAM_PLUS,
	AUTH_PEER,
	AUTH_REJECT,
	AUTH_CERT,
	AUTH_PAM,
	AUTH_LDAP,
	AUTH_HBA
};

/* Of clients, prefer and allow are the same. verify-ca: the other side's certificate has a root we
 * know; verify-full: and the name by which we know the server. */
enum tls_mode { TLS_DISABLE, TLS_ALLOW, TLS_PREFER, TLS_REQUIRE, TLS_VERIFY_CA, TLS_VERIFY_FULL };
/* How TLS begins on a connection to PostgreSQL: by SSLRequest, or with the first byte. */
enum tls_negotiation { TLS_ASK, TLS_DIRECT };

struct tls_ctx; /* conf/tls.h */

/* The members of the lists are conf/members.def; `line` is where the element stands in the file. */
struct conf_listen {
#define MEMBERS_LISTEN
#include "conf/members.def"
	struct tls_ctx *tls; /* NULL = no TLS here */
	int line;
};

struct conf_database {
#define MEMBERS_DATABASE
#include "conf/members.def"
	struct tls_ctx *tls; /* of its backends; NULL = no TLS */
	int line;
};

struct conf_user {
#define MEMBERS_USER
#include "conf/members.def"
	int line;
};

struct external;
struct hba;
struct ident;
struct userlist;
struct vault;

struct conf {
	char *path;
	char
	    *notes; /* of a PgBouncer configuration: lines that tell what has no meaning; or NULL */
	struct vault *vault;	   /* holds every secret of the lists */
	struct userlist *userlist; /* auth_file, or NULL */
	struct hba *hba;	   /* auth_hba_file, or NULL */
	struct external *external; /* options of auth_type pam or ldap, or NULL */
	struct ident *ident;	   /* auth_ident_file, or NULL */
	struct kinds kinds;	   /* of the stored secrets */
#define OPT_INT(name, def, min, max, help)     int name;
#define OPT_BOOL(name, def, help)	       bool name;
#define OPT_TIME(name, def, min, max, help)    int64_t name##_us;
#define OPT_SIZE(name, def, min, max, help)    int64_t name##_bytes;
#define OPT_STRING(name, def, help)	       char *name;
#define OPT_ENUM(name, type, def, words, help) enum type name;
#include "conf/options.def"
	struct conf_listen *listen;
	size_t nlisten;
	struct conf_database *databases;
	size_t ndatabases;
	struct conf_user *users;
	size_t nusers;
};

/*
 * Reads and checks a file, ours or PgBouncer's. Every error is written to `err` as "FILE:LINE: KEY:
 * what is wrong and what would be right", one a line, all of them and not only the first. Returns
 * NULL if there was any. Free with conf_free.
 */
struct conf *conf_load(const char *path, FILE *err);
/* The same for text that is no file by that name any more; `path` is for messages. */
struct conf *conf_read(FILE *in, const char *path, FILE *err);
/* The same as conf_load, and what the file names is read through `files`, so that all of it can be
 * published (conf/files.h). */
struct files;
struct conf *conf_load_through(const char *path, struct files *, FILE *err);
/* A copy of a configuration with one option set to `value`, as SET gives it: words and numbers as
 * they are. NULL: `err` says why not. */
struct conf *conf_with(
    const struct conf *, const char *name, const char *value, struct files *, FILE *err);
/* What files_publish has written: nothing is read from the disk. */
struct conf *conf_receive(int fd, const char *path, FILE *err);
void conf_free(struct conf *);
/* Writes it so that reading gives an equal one, secrets in clear. 0, or -1 with errno. */
int conf_write(const struct conf *, FILE *out);
/* What only a restart or an upgrade can change keeps its value `now`; tell() gets each name that
 * differed. */
void conf_keep_fixed(struct conf *next, const struct conf *now, void (*tell)(const char *name));
/* A number for what decides where a database's connections lead and what they are when they are
 * new: another number, another server. Never 0. */
uint64_t conf_destination(const struct conf_database *);
/* A copy of the entry, without its secret, that lives on its own. */
struct conf_database *conf_database_copy(const struct conf_database *);
void conf_database_free(struct conf_database *);
bool conf_is_fixed(const char *name);
/* Is there a scalar option of this name? */
bool conf_has_option(const char *name);
bool conf_database_same(const struct conf_database *, const struct conf_database *);

/* The entry for a database name: exact match, else "*", else NULL. Owned by the conf. */
const struct conf_database *conf_database(const struct conf *, const char *name);
/* The entry for a user name: exact match, else "*", else NULL. */
const struct conf_user *conf_user(const struct conf *, const char *name);
/* The secret clients of this name are checked against, and that logs in for them at PostgreSQL:
 * from users, auth_file, or the entry "*" of users. NULL = none is known. *known: is there such a
 * user? */
const char *conf_secret(const struct conf *, const char *user, bool *known);
/* Makes the log what the options say, but for log_file, which the start opens. */
void conf_log(const struct conf *);
/* Logs what is not wrong and not wise either, such as passwords that everybody can read, and what
 * has no meaning. */
void conf_warn(const struct conf *);
/* Calls fn with each of `notes`. */
void conf_each_note(const struct conf *, void (*fn)(const char *line, size_t len));
/*
 * What is in force of a number that can be given at several levels: the user's before the
 * database's before the global one. User and database may be NULL.
 */
#define CONF_LEVEL(own, else_) ((own) != -1 ? (own) : (else_))
#define CONF_DATABASE(conf, d, name)                                                               \
	((d) != NULL ? CONF_LEVEL((d)->name, (conf)->name) : (conf)->name)
#define CONF_USER(conf, u, name) CONF_DATABASE(conf, u, name)
#define CONF_POOL(conf, d, u, name)                                                                \
	((u) != NULL ? CONF_LEVEL((u)->name, CONF_DATABASE(conf, d, name))                         \
		     : CONF_DATABASE(conf, d, name))
enum pool_mode conf_pool_mode(
    const struct conf *, const struct conf_database *, const struct conf_user *);

/* <run_dir>/pgdrove.stats, malloc'd. */
char *conf_stats_path(const char *run_dir);

const char *pool_mode_name(enum pool_mode);
const char *auth_type_name(enum auth_type);
const char *tls_mode_name(enum tls_mode);

/* "500ms", "30s", "5min", "2h", "1d", "100us" or a bare number of seconds. 0 or -1 (malformed or
 * overflow). */
int conf_parse_time(const char *text, int64_t *us);
/* "16kB", "1MB", "2GB" or a bare number of bytes. 0 or -1. */
int conf_parse_size(const char *text, int64_t *bytes);

#endif

/*
 * console_show: see console_show.h. Called by console_run.c. Nearly everything is read from the
 * statistics and the ledger, where all workers write, and from the configuration. Columns and their
 * order are PgBouncer's, because tools count on them.
 */
#include "worker/console_show.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <bsd/string.h>

#include "conf/hosts.h"
#include "conf/option.h"
#include "worker/client.h"
#include "worker/console_gather.h"
#include "worker/console_sheet.h"
#include "worker/pool.h"
#include "worker/pool_rows.h"

/* --- sums ---------------------------------------------------------------------------------------
 */

bool
show_next_name(uint32_t *from, char *db, char *user)
{
	for (; *from < ledger_pools(wk->table); ++*from)
		if (stats_pool_names(wk->stats, *from, db, user))
			return true;
	return false;
}

bool
show_next_pool(uint32_t *from, const char *db, const char *user)
{
	char its_db[CONF_NAME_SIZE], its_user[CONF_NAME_SIZE];

	for (; show_next_name(from, its_db, its_user); ++*from)
		if ((db == NULL || strcmp(db, its_db) == 0) &&
		    (user == NULL || strcmp(user, its_user) == 0))
			return true;
	return false;
}

#define SUM(pool, field) sum(pool, offsetof(struct stats_pool, field))

static uint64_t
sum(uint32_t pool, size_t offset)
{
	uint64_t n = 0;
	uint32_t w;

	for (w = 0; w < wk->boot->nworkers; w++)
		n += stats_get(
		    (_Atomic uint64_t *)(void *)((char *)stats_pool(wk->stats, pool, w) + offset));
	return n;
}

static uint64_t
pool_clients(uint32_t pool)
{
	return SUM(pool, cl_active) + SUM(pool, cl_waiting) + SUM(pool, cl_idle);
}

/* Of all pools of this database and user; NULL = of any. */
static uint64_t
clients_of(const char *db, const char *user)
{
	uint64_t n = 0;
	uint32_t q;

	for (q = 0; show_next_pool(&q, db, user); q++)
		n += pool_clients(q);
	return n;
}

static uint64_t
servers_of(const char *db, const char *user)
{
	uint64_t n = 0;
	uint32_t q;

	for (q = 0; show_next_pool(&q, db, user); q++)
		n += ledger_pool_used(wk->table, q);
	return n;
}

/* --- POOLS, DATABASES, USERS --------------------------------------------------------------------
 */

static uint64_t
longest_wait(uint32_t pool)
{
	const struct stats_pool *row;
	int64_t oldest = 0;
	uint32_t w;

	POOL_ROW_FOREACH (row, w, pool)
		oldest = pool_earlier(oldest, pool_row_waits(row));
	return oldest == 0 || oldest > loop_now() ? 0 : (uint64_t)(loop_now() - oldest);
}

static void
put_balance(struct sheet *s, const struct conf_database *d)
{
	static const char *const words[] = {[BALANCE_DISABLE] = "disable",
	    [BALANCE_ROUND_ROBIN] = "round-robin",
	    [BALANCE_RANDOM] = "random"};

	sheet_text(s, d == NULL ? NULL : words[conf_load_balance(wk->conf, d)]);
}

static void
fill_pools(struct sheet *s)
{
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	const struct conf_database *d;
	uint64_t wait;
	uint32_t q;

	for (q = 0; show_next_name(&q, db, user); q++) {
		d = conf_database(wk->conf, db);
		wait = longest_wait(q);
		sheet_text(s, db);
		sheet_text(s, user);
		sheet_number(s, SUM(q, cl_active) + SUM(q, cl_idle));
		sheet_number(s, SUM(q, cl_waiting));
		sheet_number(s, SUM(q, cl_canceling));
		sheet_number(s, 0); /* a cancel request never waits */
		sheet_number(s, SUM(q, sv_active));
		sheet_number(s, SUM(q, sv_canceling));
		sheet_number(s, SUM(q, sv_canceled));
		sheet_number(s, SUM(q, sv_idle));
		sheet_number(s, 0); /* those to be checked first are among the idle ones */
		sheet_number(s, SUM(q, sv_cleaning));
		sheet_number(s, SUM(q, sv_login));
		sheet_number(s, wait / 1000000);
		sheet_number(s, wait % 1000000);
		sheet_text(s, d == NULL ? NULL
					: pool_mode_name(conf_pool_mode(
					      wk->conf, d, conf_user(wk->conf, user))));
		put_balance(s, d);
	}
}

static void
fill_databases(struct sheet *s)
{
	const struct conf *c = wk->conf;
	const struct conf_database *d;
	unsigned int flags;
	size_t i;

	for (i = 0; i < c->ndatabases; i++) {
		d = &c->databases[i];
		flags = admin_flags(wk->boot->admin, d->name);
		sheet_text(s, d->name);
		sheet_text(s, d->host);
		sheet_number(s, d->port);
		sheet_text(s, d->dbname != NULL ? d->dbname : d->name);
		sheet_text(s, d->user);
		sheet_number(s, (uint64_t)CONF_DATABASE(c, d, pool_size));
		sheet_number(s, (uint64_t)CONF_DATABASE(c, d, min_pool_size));
		sheet_number(s, (uint64_t)CONF_DATABASE(c, d, reserve_pool_size));
		sheet_number(s, (uint64_t)CONF_DATABASE(c, d, server_lifetime_us) / 1000000);
		sheet_text(
		    s, d->pool_mode == -1 ? NULL : pool_mode_name((enum pool_mode)d->pool_mode));
		put_balance(s, d);
		sheet_number(s, (uint64_t)CONF_DATABASE(c, d, max_db_connections));
		sheet_number(s, servers_of(d->name, NULL));
		sheet_number(s, (uint64_t)CONF_DATABASE(c, d, max_db_client_connections));
		sheet_number(s, clients_of(d->name, NULL));
		sheet_number(s, (flags & ADMIN_PAUSED) != 0);
		sheet_number(s, (flags & ADMIN_DISABLED) != 0);
	}
}

static void
fill_users(struct sheet *s)
{
	const struct conf *c = wk->conf;
	const struct conf_user *u;
	size_t i;

	for (i = 0; i < c->nusers; i++) {
		u = &c->users[i];
		sheet_text(s, u->name);
		sheet_number(s, u->pool_size == -1 ? 0 : (uint64_t)u->pool_size);
		sheet_number(s, u->reserve_pool_size == -1 ? 0 : (uint64_t)u->reserve_pool_size);
		sheet_text(
		    s, u->pool_mode == -1 ? NULL : pool_mode_name((enum pool_mode)u->pool_mode));
		sheet_number(s, (uint64_t)CONF_USER(c, u, max_user_connections));
		sheet_number(s, servers_of(NULL, u->name));
		sheet_number(s, (uint64_t)CONF_USER(c, u, max_user_client_connections));
		sheet_number(s, clients_of(NULL, u->name));
	}
}

/* --- the rest -----------------------------------------------------------------------------------
 */

static uint64_t
workers_sum(size_t offset)
{
	uint64_t n = 0;
	uint32_t w;

	for (w = 0; w < wk->boot->nworkers; w++)
		n += stats_get(
		    (_Atomic uint64_t *)(void *)((char *)stats_worker(wk->stats, w) + offset));
	return n;
}

static void
put_item(struct sheet *s, const char *name, uint64_t n)
{
	sheet_text(s, name);
	sheet_number(s, n);
}

static void
fill_lists(struct sheet *s)
{
	uint64_t clients = workers_sum(offsetof(struct stats_worker, clients));
	uint64_t servers = workers_sum(offsetof(struct stats_worker, backends));
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	uint64_t pools = 0, in = clients_of(NULL, NULL);
	uint32_t q;

	for (q = 0; show_next_name(&q, db, user); q++)
		pools++;
	put_item(s, "databases", wk->conf->ndatabases);
	put_item(s, "users", wk->conf->nusers);
	put_item(s, "peers", 0);
	put_item(s, "pools", pools);
	put_item(s, "peer_pools", 0);
	put_item(s, "free_clients", table_shape(wk->table)->clients - in);
	put_item(s, "used_clients", in);
	put_item(s, "login_clients", clients > in ? clients - in : 0);
	put_item(s, "free_servers", table_shape(wk->table)->slots - servers);
	put_item(s, "used_servers", servers);
	put_item(s, "dns_names", workers_sum(offsetof(struct stats_worker, dns_names)));
	put_item(s, "dns_zones", 0);
	put_item(s, "dns_queries", workers_sum(offsetof(struct stats_worker, dns_queries)));
	put_item(s, "dns_pending", 0);
}

static void
fill_state(struct sheet *s)
{
	unsigned int flags = admin_flags(wk->boot->admin, "");

	sheet_text(s, "active");
	sheet_text(s, (flags & ADMIN_HOLD) == 0 ? "yes" : "no");
	sheet_text(s, "paused");
	sheet_text(s, (flags & ADMIN_PAUSED) != 0 ? "yes" : "no");
	sheet_text(s, "suspended");
	sheet_text(s, (flags & ADMIN_SUSPENDED) != 0 ? "yes" : "no");
}

static void
fill_mem(struct sheet *s)
{
	uint64_t buffers = workers_sum(offsetof(struct stats_worker, buffers)), size = buf_cap();

	sheet_text(s, "iobuf");
	sheet_number(s, size);
	sheet_number(s, buffers);
	sheet_number(s, 0);
	sheet_number(s, buffers * size);
}

static void
fill_version(struct sheet *s)
{
	sheet_text(s, "PgBouncer 1.25.0 (pgdrove " PGDROVE_VERSION ")");
}

static void
fill_nothing(struct sheet *s)
{
	(void)s;
}

static void
fill_config(struct sheet *s)
{
	const struct option *o;
	char now[256], def[256];

	for (o = option_globals; o->name != NULL; o++) {
		option_show(o, wk->conf, now, sizeof(now), def, sizeof(def));
		sheet_text(s, o->name);
		sheet_text(s, now);
		sheet_text(s, def);
		sheet_text(s, conf_is_fixed(o->name) ? "no" : "yes");
	}
}

static void
fill_workers(struct sheet *s)
{
	static const char *const states[] = {
	    "down", "starting", "serving", "draining", "unused", "surplus"};
	uint32_t w;

	for (w = 0; w < stats_workers(wk->stats); w++) {
		const struct stats_worker *row = stats_worker(wk->stats, w);
		uint64_t state = stats_get(&row->state);
		if (state == STATS_UNUSED)
			continue;
		if (w == wk->boot->nworkers)
			sheet_text(s, "steward");
		else
			sheet_number(s, w);
		sheet_number(s, stats_get(&row->pid));
		sheet_text(s, state < 6 ? states[state] : "?");
		sheet_number(s, stats_get(&row->conf));
		sheet_number(s, stats_get(&row->clients));
		sheet_number(s, stats_get(&row->clients_active));
		sheet_number(s, stats_get(&row->clients_waiting));
		sheet_number(s, stats_get(&row->backends));
		sheet_number(s, stats_get(&row->backends_idle));
		sheet_number(s, stats_get(&row->logins));
		sheet_number(s, stats_get(&row->restarts));
		sheet_number(s, stats_get(&row->incarnation));
	}
}

#define TOTAL_COLUMNS                                                                              \
	"total_server_assignment_count:n total_xact_count:n total_query_count:n total_received:n " \
	"total_sent:n total_xact_time:n total_query_time:n total_wait_time:n "                     \
	"total_client_parse_count:n total_server_parse_count:n total_bind_count:n "                \
	"total_client_login_count:n "
#define AVERAGE_COLUMNS                                                                            \
	"avg_server_assignment_count:n avg_xact_count:n avg_query_count:n avg_recv:n avg_sent:n "  \
	"avg_xact_time:n avg_query_time:n avg_wait_time:n avg_client_parse_count:n "               \
	"avg_server_parse_count:n avg_bind_count:n avg_client_login_count:n"
#define PLAIN_COLUMNS                                                                              \
	"database server_assignment_count:n xact_count:n query_count:n bytes_received:n "          \
	"bytes_sent:n xact_time:n query_time:n wait_time:n "
#define PEER_COLUMNS                                                                               \
	"type user database replication state addr port:i local_addr local_port:i connect_time "   \
	"request_time wait:i wait_us:i close_needed:i ptr link remote_pid:i tls application_name " \
	"prepared_statements:i id:i"
#define SOCKET_COLUMNS                                                                             \
	PEER_COLUMNS " recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i pkt_avail:i "    \
		     "send_avail:i"

static const struct show shows[] = {
    {"ACTIVE_SOCKETS", SOCKET_COLUMNS, NULL, &gather_who},
    {"CLIENTS", PEER_COLUMNS, NULL, &gather_who},
    {"CONFIG", "key value default changeable", fill_config, NULL},
    {"DATABASES",
	"name host port:i database force_user pool_size:i min_pool_size:i reserve_pool_size:i "
	"server_lifetime:i pool_mode load_balance_hosts max_connections:i current_connections:i "
	"max_client_connections:i current_client_connections:i paused:i disabled:i",
	fill_databases, NULL},
    {"DNS_HOSTS", "hostname ttl:i addrs", NULL, &gather_dns},
    {"DNS_ZONES", "zonename serial:i count:i", fill_nothing, NULL},
    {"LISTS", "list items:i", fill_lists, NULL},
    {"MEM", "name size:i used:i free:i memtotal:i", fill_mem, NULL},
    {"PEERS", "peer_id:i host port:i pool_size:i", fill_nothing, NULL},
    {"PEER_POOLS",
	"peer_id:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active_cancel:i sv_login:i",
	fill_nothing, NULL},
    {"PINS", "database user application_name addr port:i id:i remote_pid:i state since reasons",
	NULL, &gather_who},
    {"POOLS",
	"database user cl_active:i cl_waiting:i cl_active_cancel_req:i cl_waiting_cancel_req:i "
	"sv_active:i sv_active_cancel:i sv_being_canceled:i sv_idle:i sv_used:i sv_tested:i "
	"sv_login:i maxwait:i maxwait_us:i pool_mode load_balance_hosts",
	fill_pools, NULL},
    {"SERVERS", PEER_COLUMNS, NULL, &gather_who},
    {"SOCKETS", SOCKET_COLUMNS, NULL, &gather_who},
    {"STATEMENTS", "name clients:i servers:i length:i query", NULL, &gather_statements},
    {"STATE", "key value", fill_state, NULL},
    {"STATS", "database " TOTAL_COLUMNS AVERAGE_COLUMNS, show_stats, NULL},
    {"STATS_AVERAGES",
	PLAIN_COLUMNS "avg_client_parse_count:n avg_server_parse_count:n avg_bind_count:n "
		      "avg_client_login_count:n",
	show_stats_averages, NULL},
    {"STATS_TOTALS",
	PLAIN_COLUMNS "client_parse_count:n server_parse_count:n bind_count:n client_login_count:n",
	show_stats_totals, NULL},
    {"TOTALS", "name value:n", show_totals, NULL},
    {"USERS",
	"name pool_size:i reserve_pool_size:i pool_mode max_user_connections:i "
	"current_connections:i max_user_client_connections:i current_client_connections:i",
	fill_users, NULL},
    {"VERSION", "version", fill_version, NULL},
    {"WORKERS",
	"worker pid:i state conf:i clients:i clients_active:i clients_waiting:i backends:i "
	"backends_idle:i logins:i restarts:i incarnation:i",
	fill_workers, NULL},
    {NULL, NULL, NULL, NULL},
};

const struct show *
show_find(const char *name)
{
	const struct show *s;

	for (s = shows; s->name != NULL; s++)
		if (strcasecmp(s->name, name) == 0)
			return s;
	return NULL;
}

const char *
show_names(void)
{
	static char text[512];
	const struct show *s;

	strlcpy(text, "HELP", sizeof(text));
	for (s = shows; s->name != NULL; s++) {
		strlcat(text, "|", sizeof(text));
		strlcat(text, s->name, sizeof(text));
	}
	return text;
}

/*
 * console_who: clients and backends, as this worker knows them, and as rows of SHOW CLIENTS,
 * SERVERS, SOCKETS, ACTIVE_SOCKETS, PINS. See console_gather.h.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <bsd/string.h>

#include "worker/client.h"
#include "worker/console_gather.h"
#include "worker/console_sheet.h"
#include "worker/pool.h"
#include "worker/replication.h"

/* A client or a backend. */
struct who {
	bool server;
	bool tls;
	bool close_needed;
	enum startup_replication replication;
	char state[24];
	char db[CONF_NAME_SIZE], user[CONF_NAME_SIZE];
	char application[CONF_NAME_SIZE];
	char addr[96], local_addr[64];
	uint16_t port, local_port;
	int64_t since_us, request_us, wait_us; /* monotonic times; a duration */
	int32_t id, link;		       /* numbers as clients know them; of PostgreSQL */
	uint32_t pins;			       /* a client's, see session.h */
	uint32_t statements;		       /* prepared by name */
	uint32_t pending, parsed, unparsed;    /* bytes received, and not sent on yet */
	uint32_t unsent;		       /* bytes of our own making */
};

static void
put_endpoint(int fd, bool local, char *text, size_t size, uint16_t *port)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if ((local ? getsockname(fd, (struct sockaddr *)&ss, &len)
		   : getpeername(fd, (struct sockaddr *)&ss, &len)) == -1)
		return;
	strlcpy(text, "unix", size);
	if (ss.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)&ss;
		(void)inet_ntop(AF_INET, &in->sin_addr, text, (socklen_t)size);
		*port = ntohs(in->sin_port);
	} else if (ss.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)&ss;
		(void)inet_ntop(AF_INET6, &in->sin6_addr, text, (socklen_t)size);
		*port = ntohs(in->sin6_port);
	}
}

static void
put_socket(struct who *w, const struct conn *c)
{
	const struct buf *b;

	put_endpoint(c->src.fd, false, w->addr, sizeof(w->addr), &w->port);
	put_endpoint(c->src.fd, true, w->local_addr, sizeof(w->local_addr), &w->local_port);
	w->tls = c->tls != NULL;
	if (c->in != NULL) {
		w->pending = c->in->tail;
		w->parsed = c->in->fwd - c->in->head;
		w->unparsed = c->in->tail - c->in->fwd;
	}
	for (b = c->out; b != NULL; b = b->next)
		w->unsent += b->tail - b->head;
}

/* Those that have one by name. */
static uint32_t
count_names(const struct stmt_names *names)
{
	const struct stmt_name *n;
	uint32_t i, count = 0;

	for (i = 0; names != NULL && i < names->size; i++)
		for (n = names->buckets[i]; n != NULL; n = n->next)
			count += n->stmt != NULL;
	return count;
}

static const char *
client_state(const struct client *c)
{
	if (c->state == CLIENT_ACTIVE)
		return "active";
	return c->state == CLIENT_WAITING || c->state == CLIENT_LOGIN ? "waiting" : "idle";
}

static void
add_client(struct client *c, void *arg)
{
	int name = params_index("application_name");
	struct who *w;

	if (c->pool == NULL || c->row == TABLE_NONE)
		return;
	w = gather_add(arg, sizeof(*w));
	strlcpy(w->state, client_state(c), sizeof(w->state));
	strlcpy(w->db, c->pool->db, sizeof(w->db));
	strlcpy(w->user, c->user == NULL ? c->pool->user : c->user, sizeof(w->user));
	if (name != -1 && c->params.v[name] != NULL)
		strlcpy(w->application, c->params.v[name], sizeof(w->application));
	w->replication = c->replication;
	put_socket(w, &c->conn);
	w->pins = c->session.pins;
	w->statements = count_names(c->names);
	w->since_us = c->born_us;
	w->request_us = c->state == CLIENT_WAITING ? c->since_us : c->active_us;
	w->wait_us = c->state == CLIENT_WAITING ? loop_now() - c->since_us : 0;
	w->close_needed = c->dismissed != NULL;
	w->id = c->pid;
	w->link = c->backend == NULL ? 0 : c->backend->facts.pid;
}

static void
add_backend(struct gather_list *l, const struct backend *b, const char *state)
{
	struct who *w = gather_add(l, sizeof(*w));
	int name = params_index("application_name");

	w->server = true;
	strlcpy(w->state, state, sizeof(w->state));
	strlcpy(w->db, b->pool->db, sizeof(w->db));
	strlcpy(w->user, b->pool->user, sizeof(w->user));
	if (name != -1 && b->params.v[name] != NULL)
		strlcpy(w->application, b->params.v[name], sizeof(w->application));
	w->replication = (enum startup_replication)b->facts.replication;
	put_socket(w, &b->conn);
	w->statements = b->prepared.n;
	w->since_us = b->facts.opened_us;
	w->request_us = b->since_us;
	w->close_needed = pool_stale(b);
	w->id = b->facts.pid;
	w->link = b->client == NULL ? 0 : b->client->pid;
}

static struct gather_list *telling;

static void
add_pool(struct pool *p)
{
	const struct backend *b;

	TAILQ_FOREACH (b, &p->idle, list)
		add_backend(telling, b, "idle");
	TAILQ_FOREACH (b, &p->held, list)
		add_backend(telling, b, LIST_EMPTY(&b->cancels) ? "active" : "being_canceled");
}

static void
collect(struct gather_list *l)
{
	telling = l;
	clients_each(add_client, l);
	pools_each(add_pool);
	telling = NULL;
}

/* --- rows ---------------------------------------------------------------------------------------
 */

/* A moment of the monotonic clock as PgBouncer writes it. */
static void
put_time(struct sheet *s, int64_t at_us)
{
	time_t t = time(NULL) - (time_t)((loop_now() - at_us) / 1000000);
	struct tm tm;
	char text[40] = "";

	if (localtime_r(&t, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &tm);
	sheet_text(s, text);
}

static void
put_number_text(struct sheet *s, int32_t n)
{
	char text[24] = "";

	if (n != 0)
		snprintf(text, sizeof(text), "0x%x", (unsigned int)n);
	sheet_text(s, text);
}

static void
put_who(struct sheet *s, const struct who *w, bool sockets)
{
	sheet_text(s, w->server ? "S" : "C");
	sheet_text(s, w->user);
	sheet_text(s, w->db);
	sheet_text(s, replication_name(w->replication));
	sheet_text(s, w->state);
	sheet_text(s, w->addr);
	sheet_number(s, w->port);
	sheet_text(s, w->local_addr);
	sheet_number(s, w->local_port);
	put_time(s, w->since_us);
	put_time(s, w->request_us);
	sheet_number(s, (uint64_t)w->wait_us / 1000000);
	sheet_number(s, (uint64_t)w->wait_us % 1000000);
	sheet_number(s, w->close_needed);
	put_number_text(s, w->id);
	put_number_text(s, w->link);
	sheet_number(s, w->server ? (uint64_t)w->id : 0);
	sheet_text(s, w->tls ? "TLS" : "");
	sheet_text(s, w->application);
	sheet_number(s, w->statements);
	sheet_number(s, (uint64_t)(uint32_t)w->id);
	if (!sockets)
		return;
	sheet_number(s, w->pending);
	sheet_number(s, w->pending - w->unparsed);
	sheet_number(s, 0);
	sheet_number(s, w->pending - w->unparsed - w->parsed);
	sheet_number(s, w->unsent);
	sheet_number(s, w->unparsed);
	sheet_number(s, w->parsed + w->unsent);
}

/* Its reasons to keep a backend, as one text. */
static void
put_pins(struct sheet *s, const struct who *w)
{
	char text[256] = "";
	int i;

	for (i = 0; i < PINS; i++) {
		if ((w->pins >> i & 1) == 0)
			continue;
		(void)strlcat(text, text[0] == '\0' ? "" : ", ", sizeof(text));
		(void)strlcat(text, session_pin_name((enum session_pin)i), sizeof(text));
	}
	sheet_text(s, w->db);
	sheet_text(s, w->user);
	sheet_text(s, w->application);
	sheet_text(s, w->addr);
	sheet_number(s, w->port);
	sheet_number(s, (uint64_t)(uint32_t)w->id);
	sheet_number(s, (uint64_t)(uint32_t)w->link);
	sheet_text(s, w->state);
	put_time(s, w->request_us);
	sheet_text(s, text);
}

/* SHOW `show` leaves this one out. */
static bool
left_out(const struct who *w, const char *show)
{
	if (strcmp(show, "CLIENTS") == 0)
		return w->server;
	if (strcmp(show, "SERVERS") == 0)
		return !w->server;
	if (strcmp(show, "PINS") == 0)
		return w->pins == 0;
	return strcmp(show, "ACTIVE_SOCKETS") == 0 && strcmp(w->state, "active") != 0;
}

static void
fill(struct gather_list *l, struct sheet *s, const char *show)
{
	const struct who *w;
	size_t i;

	for (i = 0; i < l->n; i++) {
		w = (const struct who *)l->v + i;
		if (left_out(w, show))
			continue;
		if (strcmp(show, "PINS") == 0)
			put_pins(s, w);
		else
			put_who(s, w, strstr(show, "SOCKETS") != NULL);
	}
}

const struct gather_kind gather_who = {sizeof(struct who), collect, fill};

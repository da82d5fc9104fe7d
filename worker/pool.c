/*
 * pool: see pool.h and design.md 4.3.
 *
 * The queue is FIFO. A released backend goes to our own head unless somebody on another worker has
 * waited longer by more than fairness_window; then it is handed over. A waiter without a backend
 * asks workers that show idle ones, and opens a new one under the limit. A retry timer backs every
 * message that could be lost with its sender.
 */
#include "worker/pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/inbox.h"

#define OPEN_PARALLEL 4	    /* connects in flight per pool and worker */
#define RETRY_US      50000 /* look again while somebody waits */
#define MATCH_DEPTH   16    /* idle backends looked at for matching settings */

static TAILQ_HEAD(, pool) pools = TAILQ_HEAD_INITIALIZER(pools);

static void pool_pump(struct pool *);

static uint64_t
gauge(int n)
{
	return (uint64_t)(int64_t)n;
}

/* --- life ----------------------------------------------------------------------------------------
 */

static const char *
pool_password(const struct conf_database *d, const char *user)
{
	const struct conf_user *u;

	if (d->user != NULL && d->password != NULL)
		return d->password;
	u = conf_user(wk->conf, user);
	return u != NULL && u->password != NULL ? u->password : d->password;
}

static struct pool *
pool_find(const char *db, const char *user)
{
	struct pool *p;

	TAILQ_FOREACH (p, &pools, all)
		if (strcmp(p->db, db) == 0 && strcmp(p->user, user) == 0)
			return p;
	return NULL;
}

struct pool *
pool_by_index(uint32_t index)
{
	struct pool *p;

	TAILQ_FOREACH (p, &pools, all)
		if (p->index == index)
			return p;
	return NULL;
}

static struct pool *
pool_new(const char *db, const char *user, const struct conf_database *d)
{
	struct pool *p = calloc(1, sizeof(*p));
	const struct conf_user *u = conf_user(wk->conf, user);

	if (p == NULL)
		return NULL;
	strlcpy(p->db, db, sizeof(p->db));
	strlcpy(p->user, user, sizeof(p->user));
	p->conf = d;
	p->password = pool_password(d, user);
	p->mode = conf_pool_mode(wk->conf, d, u);
	TAILQ_INIT(&p->waiting);
	TAILQ_INIT(&p->logins);
	TAILQ_INIT(&p->idle);
	return p;
}

struct pool *
pool_get(
    const char *db, const char *client_user, const struct conf_database *d, struct wire_error *why)
{
	const char *user = d->user != NULL ? d->user : client_user;
	struct pool *p = pool_find(db, user);
	int limit;

	if (p != NULL) {
		p->nclients++;
		return p;
	}
	p = pool_new(db, user, d);
	limit = conf_pool_size(wk->conf, d, conf_user(wk->conf, user));
	if (p == NULL ||
	    ledger_attach(wk->table, wk->self, db, user, (uint32_t)limit, &p->index) != LEDGER_OK) {
		free(p);
		*why = (struct wire_error){.severity = "FATAL",
		    .sqlstate = "53300",
		    .message = "no room for another pool (max_pools)",
		    .hint = "Raise max_pools, or connect with fewer database and user names."};
		return NULL;
	}
	stats_pool_name(wk->stats, p->index, db, user);
	p->row = stats_pool(wk->stats, p->index, wk->self.worker);
	TAILQ_INSERT_TAIL(&pools, p, all);
	p->nclients++;
	return p;
}

static void
pool_free_if_unused(struct pool *p)
{
	if (p->nclients > 0 || p->nbackends > 0)
		return;
	if (ledger_detach(wk->table, wk->self, p->index) != LEDGER_OK)
		return; /* kept: the next client or backend that leaves tries again */
	TAILQ_REMOVE(&pools, p, all);
	timer_stop(&p->timer);
	params_fini(&p->defaults);
	explicit_bzero(&p->scram, sizeof(p->scram));
	free(p->error);
	free(p);
}

void
pool_client_gone(struct pool *p)
{
	p->nclients--;
	pool_free_if_unused(p);
}

void
pool_backend_gone(struct pool *p)
{
	uint32_t w;

	p->nbackends--;
	for (w = 0; w < wk->boot->nworkers; w++) {
		if (w == wk->self.worker)
			continue;
		if (stats_get(&stats_pool(wk->stats, p->index, w)->oldest_wait_us) != 0)
			inbox_send(w, CTL_WAKE, p->index, 0);
	}
	if (p->nbackends == 0 && p->nclients == 0)
		pool_free_if_unused(p);
	else
		pool_pump(p);
}

/* --- the queue
 * ------------------------------------------------------------------------------------ */

static void
pool_retry(struct timer *t)
{
	pool_pump(LOOP_CONTAINER(t, struct pool, timer));
}

/* Publishes since when our head waits, and keeps the timer that backs it. */
static void
queue_changed(struct pool *p)
{
	struct client *head = TAILQ_FIRST(&p->waiting), *login = TAILQ_FIRST(&p->logins);
	int64_t since = head != NULL ? head->since_us : 0;

	if (login != NULL && !p->welcomed && (since == 0 || login->since_us < since))
		since = login->since_us;
	stats_set(&p->row->oldest_wait_us, (uint64_t)since);
	if (since == 0)
		timer_stop(&p->timer);
	else if (!timer_armed(&p->timer))
		timer_set(&p->timer, loop_now() + RETRY_US, pool_retry);
}

static void
link_client(struct pool *p, struct backend *b, struct client *c)
{
	if (c->state == CLIENT_WAITING) {
		TAILQ_REMOVE(&p->waiting, c, queue);
		p->nwaiting--;
		stats_add(&p->row->cl_waiting, gauge(-1));
		stats_add(&wk->row->clients_waiting, gauge(-1));
		stats_add(&p->row->wait_time_us, (uint64_t)(loop_now() - c->since_us));
		queue_changed(p);
	} else {
		stats_add(&p->row->cl_idle, gauge(-1));
	}
	stats_add(&p->row->cl_active, 1);
	stats_add(&p->row->sv_active, 1);
	stats_add(&wk->row->clients_active, 1);
	b->since_us = loop_now();
	b->client = c;
	c->backend = b;
	client_linked(c, b);
}

static struct backend *
take_idle(struct pool *p, const struct params *want)
{
	struct backend *b, *best = TAILQ_FIRST(&p->idle);
	int depth = 0;

	TAILQ_FOREACH (b, &p->idle, idle) {
		if (params_match(want, &b->params)) {
			best = b;
			break;
		}
		if (++depth == MATCH_DEPTH)
			break;
	}
	if (best == NULL)
		return NULL;
	TAILQ_REMOVE(&p->idle, best, idle);
	stats_add(&p->row->sv_idle, gauge(-1));
	stats_add(&wk->row->backends_idle, gauge(-1));
	ledger_busy(wk->table, wk->self, best->slot);
	return best;
}

bool
pool_has_idle(const struct pool *p)
{
	return !TAILQ_EMPTY(&p->idle) && TAILQ_EMPTY(&p->waiting);
}

void
pool_want(struct pool *p, struct client *c)
{
	struct backend *b = NULL;

	if (TAILQ_EMPTY(&p->waiting))
		b = take_idle(p, &c->params);
	if (b != NULL) {
		link_client(p, b, c);
		return;
	}
	c->state = CLIENT_WAITING;
	c->since_us = loop_now();
	TAILQ_INSERT_TAIL(&p->waiting, c, queue);
	p->nwaiting++;
	stats_add(&p->row->cl_idle, gauge(-1));
	stats_add(&p->row->cl_waiting, 1);
	stats_add(&p->row->wait_count, 1);
	stats_add(&wk->row->clients_waiting, 1);
	queue_changed(p);
	pool_pump(p);
}

void
pool_unqueue(struct pool *p, struct client *c)
{
	if (c->state == CLIENT_WAITING) {
		TAILQ_REMOVE(&p->waiting, c, queue);
		p->nwaiting--;
		stats_add(&p->row->cl_waiting, gauge(-1));
		stats_add(&p->row->cl_idle, 1);
		stats_add(&wk->row->clients_waiting, gauge(-1));
	} else if (c->state == CLIENT_LOGIN) {
		TAILQ_REMOVE(&p->logins, c, queue);
		p->nlogins--;
	}
	queue_changed(p);
}

/* --- opening and asking
 * ---------------------------------------------------------------------------- */

/* Pairs with the fence in pool_release: either the giver sees our wait, or we see its idle backend.
 */
static void
ask_others(struct pool *p, uint32_t wanted)
{
	uint32_t w, idle;

	atomic_thread_fence(memory_order_seq_cst);
	for (w = 0; w < wk->boot->nworkers && wanted > 0; w++) {
		if (w == wk->self.worker)
			continue;
		idle = (uint32_t)stats_get(&stats_pool(wk->stats, p->index, w)->sv_idle);
		if (idle == 0)
			continue;
		if (idle > wanted)
			idle = wanted;
		if (inbox_send(w, CTL_ASK, p->index, idle))
			wanted -= idle;
	}
}

static void
open_more(struct pool *p, uint32_t wanted)
{
	while (p->nopening < wanted && p->nopening < OPEN_PARALLEL && loop_now() >= p->retry_us) {
		uint32_t slot;
		enum ledger_result r = ledger_reserve(wk->table, wk->self, p->index, &slot);
		if (r == LEDGER_TABLE_FULL)
			log_warnx("pool %s/%s: the table has no free slot (max_backends)", p->db,
			    p->user);
		if (r != LEDGER_OK)
			return;
		backend_open(p, slot);
	}
}

static void
fail_login(struct pool *p, struct client *c)
{
	client_fail_raw(c, p->error, p->error_len);
}

/* query_wait_timeout: the queue is in order of arrival, so only heads can be late. */
static void
expire_waiters(struct pool *p)
{
	int64_t limit = wk->conf->query_wait_timeout_us;
	struct client *c;

	while (limit > 0 && (c = TAILQ_FIRST(&p->waiting)) != NULL &&
	       loop_now() - c->since_us >= limit) {
		stats_add(&p->row->wait_timeouts, 1);
		client_fail(
		    c, &(struct wire_error){.severity = "FATAL",
			   .sqlstate = "53300",
			   .message = "query_wait_timeout",
			   .detail = "No backend of this pool became free in time.",
			   .hint = "Raise pool_size, or look for transactions that stay open."});
	}
}

static void
pool_pump(struct pool *p)
{
	struct client *c;
	struct backend *b;
	uint32_t wanted;

	p->nclients++; /* failing the last waiter must not free the pool under us */
	while ((c = TAILQ_FIRST(&p->waiting)) != NULL && (b = take_idle(p, &c->params)) != NULL)
		link_client(p, b, c);
	expire_waiters(p);
	wanted = p->nwaiting + (p->nlogins > 0 && p->nbackends == 0 ? 1 : 0);
	if (wanted > 0 && !wk->draining) {
		if (p->nwaiting > 0)
			ask_others(p, p->nwaiting);
		open_more(p, wanted);
	}
	if (p->nlogins > 0 && !p->welcomed)
		pool_welcome(p, NULL); /* another worker may have logged in meanwhile */
	timer_stop(&p->timer);
	queue_changed(p);
	pool_client_gone(p);
}

void
pool_kick_all(void)
{
	struct pool *p, *next;

	TAILQ_FOREACH_SAFE (p, &pools, all, next)
		if (p->nwaiting + p->nlogins > 0)
			pool_pump(p);
}

void
pool_open_failed(struct pool *p, const uint8_t *error, size_t len, bool retry)
{
	int64_t patience = wk->conf->server_login_retry_us;
	struct client *c, *next;

	p->retry_us = loop_now() + patience;
	stats_add(&p->row->sv_failed, 1);
	free(p->error);
	p->error = malloc(len);
	p->error_len = p->error == NULL ? 0 : len;
	if (p->error != NULL)
		memcpy(p->error, error, len);
	if (p->nbackends > 1 || (ledger_pool_used(wk->table, p->index) > p->nbackends))
		return; /* others work: keep waiting for them */
	p->nclients++;
	TAILQ_FOREACH_SAFE (c, &p->logins, queue, next)
		if (!retry || loop_now() - c->since_us >= patience)
			fail_login(p, c);
	TAILQ_FOREACH_SAFE (c, &p->waiting, queue, next)
		if (!retry || loop_now() - c->since_us >= patience)
			fail_login(p, c);
	pool_client_gone(p);
}

/* --- welcome
 * ------------------------------------------------------------------------------------------ */

void
pool_login(struct pool *p, struct client *c)
{
	c->state = CLIENT_LOGIN;
	c->since_us = loop_now();
	TAILQ_INSERT_TAIL(&p->logins, c, queue);
	p->nlogins++;
	pool_pump(p);
}

static void
learn_defaults(struct pool *p, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (len - at >= WIRE_HEADER) {
		uint32_t n = wire_get32(bytes + at + 1) + 1;
		struct wire_in in;
		const char *name, *value;
		int i;
		wire_read(&in, bytes + at + WIRE_HEADER, n - WIRE_HEADER);
		name = wire_get_string(&in);
		value = wire_get_string(&in);
		i = name == NULL || value == NULL ? -1 : params_index(name);
		if (i != -1)
			(void)params_set(&p->defaults, i, value);
		at += n;
	}
}

void
pool_welcome(struct pool *p, struct backend *b)
{
	uint8_t bytes[TABLE_WELCOME_BYTES];
	struct client *c;
	size_t len;

	if (b != NULL && table_welcome_put(wk->table, p->index, b->welcome, b->welcome_len) == -1)
		log_warnx(
		    "pool %s/%s: the server's parameters are too long to keep", p->db, p->user);
	len = table_welcome_get(wk->table, p->index, bytes);
	if (len == 0)
		return;
	if (!p->welcomed)
		learn_defaults(p, bytes, len);
	p->welcomed = true;
	p->nclients++;
	while ((c = TAILQ_FIRST(&p->logins)) != NULL) {
		pool_unqueue(p, c);
		client_welcome(c, bytes, len);
	}
	pool_client_gone(p);
}

/* --- releasing and giving
 * -------------------------------------------------------------------------------- */

/* The worker whose client has waited longest, if longer than `mine` by the window; TABLE_NONE if
 * none. */
static uint32_t
longest_wait_elsewhere(struct pool *p, int64_t mine)
{
	uint32_t w, best = TABLE_NONE;
	int64_t oldest = mine == 0 ? INT64_MAX : mine - wk->conf->fairness_window_us;

	for (w = 0; w < wk->boot->nworkers; w++) {
		int64_t since;
		if (w == wk->self.worker)
			continue;
		since = (int64_t)stats_get(&stats_pool(wk->stats, p->index, w)->oldest_wait_us);
		if (since != 0 && since < oldest) {
			oldest = since;
			best = w;
		}
	}
	return best;
}

/* Hands a clean backend to worker `w`. False: it stays ours. */
static bool
give(struct backend *b, uint32_t w)
{
	struct table_self to = {w, table_worker_live(wk->table, w)};
	struct pool *p = b->pool;
	uint8_t facts[1024];
	size_t len = params_pack(&b->params, facts, sizeof(facts));

	if (to.incarnation == 0 || len == 0 || b->conn.in != NULL || b->conn.out != NULL)
		return false;
	ledger_hand(wk->table, wk->self, b->slot, to);
	if (!inbox_give(w, to.incarnation, b->slot, b->conn.src.fd, facts, len)) {
		ENSURE(ledger_take_back(wk->table, wk->self, b->slot, to));
		return false;
	}
	stats_add(&p->row->sv_given, 1);
	backend_given(b);
	return true;
}

void
pool_release(struct backend *b)
{
	struct pool *p = b->pool;
	struct client *head = TAILQ_FIRST(&p->waiting);
	uint32_t w;

	if (wk->draining && head == NULL) {
		backend_close(b, "worker is leaving");
		return;
	}
	w = longest_wait_elsewhere(p, head == NULL ? 0 : head->since_us);
	if (w != TABLE_NONE && give(b, w))
		return;
	if (head != NULL) {
		link_client(p, b, head);
		return;
	}
	backend_set_idle(b);
	TAILQ_INSERT_HEAD(&p->idle, b, idle);
	stats_add(&p->row->sv_idle, 1);
	stats_add(&wk->row->backends_idle, 1);
	ledger_idle(wk->table, wk->self, b->slot);
	atomic_thread_fence(memory_order_seq_cst); /* pairs with ask_others */
	w = longest_wait_elsewhere(p, 0);
	if (w != TABLE_NONE)
		pool_asked(p->index, w, 1);
}

void
pool_asked(uint32_t index, uint32_t worker, uint32_t count)
{
	struct pool *p = pool_by_index(index);
	struct backend *b;

	while (p != NULL && count-- > 0 && TAILQ_EMPTY(&p->waiting) &&
	       (b = take_idle(p, &p->defaults)) != NULL) {
		if (give(b, worker))
			continue;
		backend_set_idle(b);
		TAILQ_INSERT_HEAD(&p->idle, b, idle);
		stats_add(&p->row->sv_idle, 1);
		stats_add(&wk->row->backends_idle, 1);
		ledger_idle(wk->table, wk->self, b->slot);
		return;
	}
}

void
pool_woken(uint32_t index)
{
	struct pool *p = pool_by_index(index);

	if (p != NULL && p->nwaiting + p->nlogins > 0)
		pool_pump(p);
}

void
pool_received(uint32_t slot, int fd, const uint8_t *facts, size_t len)
{
	struct ledger_backend lb;
	struct pool *p;
	struct backend *b;

	ledger_read(wk->table, slot, &lb);
	p = pool_by_index(lb.pool);
	b = backend_adopt(p, slot, fd, &lb, facts, len);
	if (b == NULL)
		return;
	stats_add(&p->row->sv_received, 1);
	pool_release(b);
}

void
pool_close_idle(void)
{
	struct pool *p, *next;
	struct backend *b;

	TAILQ_FOREACH_SAFE (p, &pools, all, next) {
		p->nclients++;
		while ((b = take_idle(p, &p->defaults)) != NULL)
			backend_close(b, "worker is leaving");
		pool_client_gone(p);
	}
}

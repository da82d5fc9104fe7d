/*
 * client_log: what the log calls a client, and the lines about what becomes of it. Called from all
 * over the worker. In JSON each fact also stands by itself (pgdrove.conf.5, log_format).
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "worker/client.h"
#include "worker/client_auth.h"

#define FACTS 10

const char *
client_address(const struct client *c, char text[INET6_ADDRSTRLEN])
{
	text[0] = '\0';
	if (c->port != 0 && IN6_IS_ADDR_V4MAPPED(&c->addr))
		inet_ntop(AF_INET, c->addr.s6_addr + 12, text, INET6_ADDRSTRLEN);
	else if (c->port != 0)
		inet_ntop(AF_INET6, &c->addr, text, INET6_ADDRSTRLEN);
	return text;
}

static const char *
database(const struct client *c)
{
	return c->pool != NULL ? c->pool->db : client_auth_db(c);
}

static const char *
user(const struct client *c)
{
	return c->pool != NULL ? c->pool->user : client_auth_user(c);
}

const char *
client_name(const struct client *c)
{
	static char text[256];
	char addr[INET6_ADDRSTRLEN];

	if (client_address(c, addr)[0] == '\0')
		strlcpy(addr, "unix", sizeof(addr));
	snprintf(text, sizeof(text), "client %s/%s@%s:%u", database(c), user(c), addr, c->port);
	return text;
}

/* What is known of it, and what is said of it where that is not NULL. */
static void
gather(const struct client *c, struct log_pair facts[FACTS], char address[INET6_ADDRSTRLEN],
    const char *event, const char *sqlstate, const char *reason)
{
	const struct log_pair all[] = {{"event", event, 0},
	    {"client", client_address(c, address), 0}, {"port", NULL, c->port},
	    {"database", database(c), 0}, {"user", user(c), 0},
	    {"age_us", NULL, loop_now() - c->born_us}};
	size_t n = sizeof(all) / sizeof(all[0]);

	memset(facts, 0, FACTS * sizeof(*facts));
	memcpy(facts, all, sizeof(all));
	if (sqlstate != NULL)
		facts[n++] = (struct log_pair){"sqlstate", sqlstate, 0};
	if (reason != NULL)
		facts[n++] = (struct log_pair){"reason", reason, 0};
}

void
client_log(const struct client *c, const char *event, const char *why)
{
	const int64_t age = loop_now() - c->born_us;
	char address[INET6_ADDRSTRLEN];
	struct log_pair facts[FACTS];

	gather(c, facts, address, event, NULL, why);
	if (why == NULL)
		log_pairs(facts, "%s: %s", client_name(c), event);
	else
		log_pairs(facts, "%s: %s: %s (age %lld.%03lld s)", client_name(c), event, why,
		    (long long)(age / 1000000), (long long)(age / 1000 % 1000));
}

void
client_log_fault(const struct client *c, const char *event, const char *sqlstate, const char *told,
    const char *why)
{
	char address[INET6_ADDRSTRLEN];
	struct log_pair facts[FACTS];

	if (told == NULL)
		told = "no reason was given";
	gather(c, facts, address, event, sqlstate, why != NULL ? why : told);
	if (why == NULL)
		log_pairs_limited(facts, "%s: %s: %s (%s)", client_name(c), event, told,
		    sqlstate == NULL ? "?" : sqlstate);
	else
		log_pairs_limited(facts, "%s: %s: %s (%s): %s", client_name(c), event, told,
		    sqlstate == NULL ? "?" : sqlstate, why);
}

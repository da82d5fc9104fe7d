/*
 * hba: see hba.h. Called by load.c, with the rest of the configuration, and by the workers for each
 * login. Addresses are kept as IPv6, IPv4 mapped, with a family so that ::/0 does not stand for
 * IPv4.
 */
#include "conf/hba.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#include "conf/net.h"
#include "conf/pattern.h"
#include "conf/tokens.h"

enum rule_type { RULE_LOCAL, RULE_HOST, RULE_HOSTSSL, RULE_HOSTNOSSL };
enum name_kind { NAME_EXACT, NAME_ALL, NAME_SAMEUSER, NAME_REPLICATION, NAME_REGEX };

struct name {
	enum name_kind kind;
	char *text;
	regex_t regex;
};

struct names {
	struct name *v;
	size_t n;
};

struct rule {
	struct hba_rule pub;
	enum rule_type type;
	struct names dbs, users;
	bool everywhere; /* address all, or local */
	struct net *nets;
	size_t nnets;
};

struct hba {
	struct rule *rules;
	size_t n;
};

/* --- names ------------------------------------------------------------------------------------ */

/* NULL, or what is wrong with it. */
static const char *
name_init(struct name *n, const struct token *t, bool db)
{
	const char *wrong;

	n->kind = NAME_EXACT;
	n->text = strdup(t->text);
	if (n->text == NULL)
		fatal("configuration");
	if (t->quoted)
		return NULL;
	if (strcmp(t->text, "all") == 0)
		n->kind = NAME_ALL;
	else if (db && strcmp(t->text, "sameuser") == 0)
		n->kind = NAME_SAMEUSER;
	else if (db && strcmp(t->text, "replication") == 0)
		n->kind = NAME_REPLICATION;
	if (t->text[0] != '/')
		return NULL;
	wrong = pattern_compile(&n->regex, t->text + 1, REG_NOSUB);
	if (wrong == NULL)
		n->kind = NAME_REGEX;
	return wrong;
}

static const char *
take_names(struct names *names, const struct field *f, bool db)
{
	const char *wrong;

	names->v = calloc(f->n, sizeof(*names->v));
	if (names->v == NULL)
		fatal("configuration");
	for (; names->n < f->n; names->n++) {
		const struct token *t = &f->v[names->n];
		if (!t->quoted && db &&
		    (strcmp(t->text, "samerole") == 0 || strcmp(t->text, "samegroup") == 0))
			return "samerole: membership of a role cannot be known here";
		if (!t->quoted && t->text[0] == '+')
			return "+role: membership of a role cannot be known here";
		wrong = name_init(&names->v[names->n], t, db);
		if (wrong != NULL) {
			names->n++;
			return wrong;
		}
	}
	return NULL;
}

static void
names_fini(struct names *names)
{
	while (names->n > 0) {
		struct name *n = &names->v[--names->n];
		if (n->kind == NAME_REGEX)
			regfree(&n->regex);
		free(n->text);
	}
	free(names->v);
}

/* Replication is in no list of databases but by its own word. */
static bool
names_match(const struct names *names, const char *text, const struct hba_client *c, bool db)
{
	size_t i;

	for (i = 0; i < names->n; i++) {
		const struct name *n = &names->v[i];
		bool fits = false;
		switch (n->kind) {
		case NAME_ALL:
			fits = true;
			break;
		case NAME_EXACT:
			fits = strcmp(n->text, text) == 0;
			break;
		case NAME_REGEX:
			fits = regexec(&n->regex, text, 0, NULL, 0) == 0;
			break;
		case NAME_SAMEUSER:
			fits = strcmp(c->db, c->user) == 0;
			break;
		case NAME_REPLICATION:
			break;
		}
		if (db && c->replication)
			fits = n->kind == NAME_REPLICATION;
		if (fits)
			return true;
	}
	return false;
}

/* --- addresses -------------------------------------------------------------------------------- */

static const char *
take_mask(struct net *net, const char *text)
{
	if (net_address(text, &net->mask) != net->family)
		return "expected a mask of the address's kind after the address";
	if (net->family == AF_INET)
		memset(net->mask.s6_addr, 0xff, 12);
	return NULL;
}

static void
add_net(struct rule *r, const struct net *net)
{
	r->nets = reallocarray(r->nets, r->nnets + 1, sizeof(*r->nets));
	if (r->nets == NULL)
		fatal("configuration");
	r->nets[r->nnets++] = *net;
}

/* Our own addresses (samehost) or networks (samenet), as they are now. */
static const char *
take_own(struct rule *r, bool host)
{
	struct ifaddrs *list, *i;

	if (getifaddrs(&list) == -1)
		return "cannot list our own addresses";
	for (i = list; i != NULL; i = i->ifa_next) {
		const struct sockaddr_in *in = (const void *)i->ifa_addr,
					 *in_mask = (const void *)i->ifa_netmask;
		const struct sockaddr_in6 *in6 = (const void *)i->ifa_addr,
					  *in6_mask = (const void *)i->ifa_netmask;
		struct net net;
		if (in == NULL || in_mask == NULL ||
		    (in->sin_family != AF_INET && in->sin_family != AF_INET6))
			continue;
		net.family = in->sin_family;
		net_mask(&net.mask, 128);
		if (net.family == AF_INET) {
			net_map_ipv4(&in->sin_addr, &net.addr);
			if (!host)
				memcpy(net.mask.s6_addr + 12, &in_mask->sin_addr, 4);
		} else {
			net.addr = in6->sin6_addr;
			if (!host)
				net.mask = in6_mask->sin6_addr;
		}
		add_net(r, &net);
	}
	freeifaddrs(list);
	return NULL;
}

/* The field at *at, and the mask in a field of its own behind it. */
static const char *
take_address(struct rule *r, const struct line *l, size_t *at)
{
	const struct token *t = &l->v[*at].v[0];
	struct net net;
	const char *wrong;
	char *slash;

	if (l->v[*at].n != 1)
		return "expected one address";
	++*at;
	r->everywhere = !t->quoted && strcmp(t->text, "all") == 0;
	if (r->everywhere)
		return NULL;
	if (!t->quoted && (strcmp(t->text, "samehost") == 0 || strcmp(t->text, "samenet") == 0))
		return take_own(r, t->text[4] == 'h');
	slash = strchr(t->text, '/');
	if (slash != NULL)
		*slash = '\0';
	net.family = net_address(t->text, &net.addr);
	if (net.family == -1)
		return "expected all, samehost, samenet or a numeric address (host names are not "
		       "looked up)";
	if (slash != NULL)
		wrong = net_bits(&net, slash + 1);
	else if (*at >= l->n || l->v[*at].n != 1)
		wrong = "expected /bits or a mask after the address";
	else
		wrong = take_mask(&net, l->v[(*at)++].v[0].text);
	if (wrong == NULL)
		add_net(r, &net);
	return wrong;
}

static bool
address_matches(const struct rule *r, const struct in6_addr *addr)
{
	size_t i;

	for (i = 0; i < r->nnets; i++)
		if (net_has(&r->nets[i], addr))
			return true;
	return false;
}

/* --- rules ------------------------------------------------------------------------------------ */

static const char *
take_type(struct rule *r, const struct field *f)
{
	static const char *const words[] = {"local", "host", "hostssl", "hostnossl"};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (f->n == 1 && strcmp(f->v[0].text, words[i]) == 0) {
			r->type = (enum rule_type)i;
			return NULL;
		}
	}
	if (f->n == 1 && strcmp(f->v[0].text, "hostnogssenc") == 0) { /* there is no GSS here */
		r->type = RULE_HOST;
		return NULL;
	}
	return "expected local, host, hostssl or hostnossl";
}

static const char *
take_method(struct rule *r, const struct field *f)
{
	static const struct {
		const char *word;
		enum auth_type method;
	} words[] = {{"trust", AUTH_TRUST}, {"reject", AUTH_REJECT}, {"password", AUTH_PASSWORD},
	    {"md5", AUTH_MD5}, {"scram-sha-256", AUTH_SCRAM},
	    {"scram-sha-256-plus", AUTH_SCRAM_PLUS}, {"peer", AUTH_PEER}, {"ident", AUTH_PEER},
	    {"cert", AUTH_CERT}, {"pam", AUTH_PAM}, {"ldap", AUTH_LDAP}};
	const char *word = f->v[0].text;
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (f->n == 1 && strcmp(word, words[i].word) == 0)
			break;
	if (i == sizeof(words) / sizeof(words[0]))
		return "expected a method: trust, reject, password, md5, scram-sha-256, "
		       "scram-sha-256-plus, peer, cert, pam, ldap";
	r->pub.method = words[i].method;
	if (r->pub.method == AUTH_PEER && r->type != RULE_LOCAL)
		return "peer and ident are for local connections only";
	if (r->pub.method == AUTH_CERT && r->type != RULE_HOSTSSL)
		return "cert is for hostssl only";
	if (r->pub.method == AUTH_SCRAM_PLUS && r->type != RULE_HOSTSSL)
		return "scram-sha-256-plus is for hostssl only";
	return NULL;
}

static const char *
take_option(struct rule *r, const struct field *f)
{
	const char *text = f->v[0].text, *value = strchr(text, '=');
	size_t n;

	if (f->n != 1 || value == NULL)
		return "expected name=value after the method";
	n = (size_t)(value++ - text);
	if (n == 3 && memcmp(text, "map", n) == 0) {
		if (r->pub.method != AUTH_PEER && r->pub.method != AUTH_CERT)
			return "map is for peer and cert only";
		free(r->pub.map);
		r->pub.map = strdup(value);
		if (r->pub.map == NULL)
			fatal("configuration");
		return NULL;
	}
	if (external_method(r->pub.method) && strncmp(text, "client", 6) != 0)
		return external_add(&r->pub.external, r->pub.method, text);
	if (r->type != RULE_HOSTSSL)
		return "unknown option, or one for hostssl only";
	if (n == 10 && memcmp(text, "clientcert", n) == 0) {
		if (strcmp(value, "verify-ca") == 0)
			r->pub.clientcert = HBA_CERT_VERIFY_CA;
		else if (strcmp(value, "verify-full") == 0)
			r->pub.clientcert = HBA_CERT_VERIFY_FULL;
		else
			return "clientcert is verify-ca or verify-full";
		return NULL;
	}
	if (n == 10 && memcmp(text, "clientname", n) == 0) {
		r->pub.clientname_dn = strcmp(value, "DN") == 0;
		return r->pub.clientname_dn || strcmp(value, "CN") == 0 ? NULL
									: "clientname is CN or DN";
	}
	return "unknown option";
}

static const char *
take_rule(struct rule *r, const struct line *l)
{
	const char *wrong = take_type(r, &l->v[0]);
	size_t at = 3;

	if (wrong != NULL)
		return wrong;
	if (l->n < 4 + (size_t)(r->type != RULE_LOCAL))
		return "expected type, database, user, address (unless local), method";
	wrong = take_names(&r->dbs, &l->v[1], true);
	if (wrong == NULL)
		wrong = take_names(&r->users, &l->v[2], false);
	r->everywhere = r->type == RULE_LOCAL;
	if (wrong == NULL && r->type != RULE_LOCAL)
		wrong = take_address(r, l, &at);
	if (wrong == NULL)
		wrong = at < l->n ? take_method(r, &l->v[at]) : "expected a method";
	while (wrong == NULL && ++at < l->n)
		wrong = take_option(r, &l->v[at]);
	if (wrong == NULL && external_method(r->pub.method))
		wrong = external_check(&r->pub.external, r->pub.method);
	return wrong;
}

static const char *
take_line(void *arg, const struct line *l)
{
	struct hba *h = arg;
	struct rule *r;

	h->rules = reallocarray(h->rules, h->n + 1, sizeof(*h->rules));
	if (h->rules == NULL)
		fatal("configuration");
	r = &h->rules[h->n++];
	memset(r, 0, sizeof(*r));
	r->pub.line = l->number;
	return take_rule(r, l);
}

static struct hba *
hba_new(void)
{
	struct hba *h = calloc(1, sizeof(*h));

	if (h == NULL)
		fatal("configuration");
	return h;
}

struct hba *
hba_parse(const char *text, size_t len, const char *path, FILE *err)
{
	struct hba *h = hba_new();

	if (tokens_parse(text, len, path, NULL, err, take_line, h) == 0)
		return h;
	hba_free(h);
	return NULL;
}

struct hba *
hba_load(const char *path, struct files *files, FILE *err)
{
	struct hba *h = hba_new();

	if (tokens_load(path, files, err, take_line, h) == 0)
		return h;
	hba_free(h);
	return NULL;
}

void
hba_free(struct hba *h)
{
	if (h == NULL)
		return;
	while (h->n > 0) {
		struct rule *r = &h->rules[--h->n];
		names_fini(&r->dbs);
		names_fini(&r->users);
		free(r->nets);
		free(r->pub.map);
		external_free(&r->pub.external);
	}
	free(h->rules);
	free(h);
}

const struct hba_rule *
hba_match(const struct hba *h, const struct hba_client *c)
{
	size_t i;

	for (i = 0; i < h->n; i++) {
		const struct rule *r = &h->rules[i];
		if ((r->type == RULE_LOCAL) != c->local || (r->type == RULE_HOSTSSL && !c->tls) ||
		    (r->type == RULE_HOSTNOSSL && c->tls) ||
		    (!r->everywhere && !address_matches(r, &c->addr)))
			continue;
		if (names_match(&r->dbs, c->db, c, true) &&
		    names_match(&r->users, c->user, c, false))
			return &r->pub;
	}
	return NULL;
}

const struct hba_rule *
hba_unknown_map(const struct hba *h, bool (*has)(const void *arg, const char *map), const void *arg)
{
	size_t i;

	for (i = 0; i < h->n; i++)
		if (h->rules[i].pub.map != NULL && !has(arg, h->rules[i].pub.map))
			return &h->rules[i].pub;
	return NULL;
}

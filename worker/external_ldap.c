/*
 * external_ldap: asks an LDAP server. Called by external_helper.c, in a process of its own. Either
 * the user's name makes the DN to bind as (ldapprefix, ldapsuffix), or it is searched for
 * (ldapbasedn, ldapurl) and the one entry found is bound as, over a connection of its own.
 */
#include "worker/external.h"

#ifdef HAVE_LDAP

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <bsd/string.h>

#include <ldap.h>

#define PATIENCE_S 10
#define FILTER_MAX 1024

/* The options, those of ldapurl included. */
struct place {
	char uri[1024];
	const char *base, *attribute, *filter;
	int scope;
	LDAPURLDesc *url; /* base, attribute and filter may point into it */
};

static const char *
get(const struct external_question *q, const char *name)
{
	const char *value = external_get(q->options, name);

	return value == NULL ? "" : value;
}

static enum external_verdict
fail(char why[EXTERNAL_WHY], const char *what, LDAP *ld, int rc)
{
	char *more = NULL;

	if (ld != NULL)
		(void)ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
	(void)snprintf(why, EXTERNAL_WHY, "%s: %s%s%.100s", what, ldap_err2string(rc),
	    more == NULL || *more == '\0' ? "" : ": ", more == NULL ? "" : more);
	ldap_memfree(more);
	return rc == LDAP_INVALID_CREDENTIALS ? EXTERNAL_WRONG : EXTERNAL_FAILED;
}

/* --- where ------------------------------------------------------------------------------------ */

/* "ldap://a:389 ldap://b:389": each of the servers, in order. */
static bool
make_uri(struct place *p, const struct external_question *q)
{
	const char *scheme = get(q, "ldapscheme"), *port = get(q, "ldapport"),
		   *host = get(q, "ldapserver");
	char one[300];
	size_t len;

	if (scheme[0] == '\0')
		scheme = "ldap";
	if (port[0] == '\0')
		port = strcmp(scheme, "ldaps") == 0 ? "636" : "389";
	for (host += strspn(host, " "); *host != '\0'; host += strspn(host, " ")) {
		len = strcspn(host, " ");
		if (snprintf(one, sizeof(one), "%s%s://%.*s:%s", p->uri[0] == '\0' ? "" : " ",
			scheme, (int)len, host, port) >= (int)sizeof(one) ||
		    strlcat(p->uri, one, sizeof(p->uri)) >= sizeof(p->uri))
			return false;
		host += len;
	}
	return p->uri[0] != '\0';
}

static int
scope_of(const char *word)
{
	if (strcmp(word, "base") == 0)
		return LDAP_SCOPE_BASE;
	return strcmp(word, "one") == 0 ? LDAP_SCOPE_ONELEVEL : LDAP_SCOPE_SUBTREE;
}

static bool
read_url(struct place *p, const char *url)
{
	if (ldap_url_parse(url, &p->url) != LDAP_SUCCESS || p->url->lud_host == NULL)
		return false;
	if (snprintf(p->uri, sizeof(p->uri), "%s://%s:%d", p->url->lud_scheme, p->url->lud_host,
		p->url->lud_port) >= (int)sizeof(p->uri))
		return false;
	p->base = p->url->lud_dn == NULL ? "" : p->url->lud_dn;
	if (p->url->lud_attrs != NULL && p->url->lud_attrs[0] != NULL)
		p->attribute = p->url->lud_attrs[0];
	if (p->url->lud_filter != NULL)
		p->filter = p->url->lud_filter;
	p->scope = p->url->lud_scope == LDAP_SCOPE_DEFAULT ? LDAP_SCOPE_BASE : p->url->lud_scope;
	return true;
}

static bool
find_place(struct place *p, const struct external_question *q)
{
	memset(p, 0, sizeof(*p));
	p->base = get(q, "ldapbasedn");
	p->attribute = get(q, "ldapsearchattribute");
	p->filter = get(q, "ldapsearchfilter");
	p->scope = scope_of(get(q, "ldapscope"));
	if (get(q, "ldapurl")[0] != '\0')
		return read_url(p, get(q, "ldapurl"));
	return make_uri(p, q);
}

/* --- connections ------------------------------------------------------------------------------ */

static LDAP *
open_server(const struct place *p, const struct external_question *q, char why[EXTERNAL_WHY])
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	const int version = LDAP_VERSION3;
	LDAP *ld = NULL;
	int rc = ldap_initialize(&ld, p->uri);

	if (rc == LDAP_SUCCESS)
		rc = ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	if (rc == LDAP_SUCCESS)
		rc = ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &patience);
	if (rc == LDAP_SUCCESS)
		rc = ldap_set_option(ld, LDAP_OPT_TIMEOUT, &patience);
	if (rc == LDAP_SUCCESS && get(q, "ldaptls")[0] == '1')
		rc = ldap_start_tls_s(ld, NULL, NULL);
	if (rc == LDAP_SUCCESS)
		return ld;
	(void)fail(why, p->uri, ld, rc);
	if (ld != NULL)
		(void)ldap_unbind_ext_s(ld, NULL, NULL);
	return NULL;
}

static int
bind_as(LDAP *ld, const char *dn, const char *password)
{
	char *copy = strdup(password);
	struct berval cred = {.bv_len = strlen(password), .bv_val = copy};
	int rc = copy == NULL ? LDAP_NO_MEMORY
			      : ldap_sasl_bind_s(ld, dn, LDAP_SASL_SIMPLE, &cred, NULL, NULL, NULL);

	if (copy != NULL)
		explicit_bzero(copy, cred.bv_len);
	free(copy);
	return rc;
}

/* The proof: may somebody with this DN and password bind? */
static enum external_verdict
prove(const struct place *p, const struct external_question *q, const char *dn,
    char why[EXTERNAL_WHY])
{
	LDAP *ld = open_server(p, q, why);
	enum external_verdict verdict = EXTERNAL_RIGHT;
	char what[EXTERNAL_WHY / 2];
	int rc;

	if (ld == NULL)
		return EXTERNAL_FAILED;
	rc = bind_as(ld, dn, q->password);
	(void)snprintf(what, sizeof(what), "bind as \"%s\"", dn);
	if (rc != LDAP_SUCCESS)
		verdict = fail(why, what, ld, rc);
	(void)ldap_unbind_ext_s(ld, NULL, NULL);
	return verdict;
}

/* --- searching -------------------------------------------------------------------------------- */

/* "(uid=alice)", or ldapsearchfilter with the name for $username. */
static bool
make_filter(const struct place *p, const char *user, char out[FILTER_MAX])
{
	const char *s = p->filter, *hit;
	size_t n = strlen("$username");

	if (s[0] == '\0')
		return snprintf(out, FILTER_MAX, "(%s=%s)",
			   p->attribute[0] == '\0' ? "uid" : p->attribute, user) < FILTER_MAX;
	out[0] = '\0';
	while ((hit = strstr(s, "$username")) != NULL) {
		size_t room = strlen(out) + (size_t)(hit - s) + 1;
		if (room >= FILTER_MAX)
			return false;
		strlcpy(out + strlen(out), s, (size_t)(hit - s) + 1);
		if (strlcat(out, user, FILTER_MAX) >= FILTER_MAX)
			return false;
		s = hit + n;
	}
	return strlcat(out, s, FILTER_MAX) < FILTER_MAX;
}

/* The DN of the one entry, to be freed; else NULL and *verdict. */
static char *
find_dn(LDAP *ld, const struct place *p, const struct external_question *q, char why[EXTERNAL_WHY],
    enum external_verdict *verdict)
{
	char *attrs[] = {(char[]){LDAP_NO_ATTRS}, NULL}, filter[FILTER_MAX], *dn = NULL;
	LDAPMessage *found = NULL;
	int rc = LDAP_FILTER_ERROR, n;

	*verdict = EXTERNAL_FAILED;
	if (make_filter(p, q->user, filter))
		rc = ldap_search_ext_s(
		    ld, p->base, p->scope, filter, attrs, 0, NULL, NULL, NULL, 2, &found);
	n = rc == LDAP_SUCCESS || rc == LDAP_SIZELIMIT_EXCEEDED ? ldap_count_entries(ld, found)
								: -1;
	if (n == 1 && rc == LDAP_SUCCESS) {
		dn = ldap_get_dn(ld, ldap_first_entry(ld, found));
	} else if (n >= 0) {
		*verdict = EXTERNAL_WRONG;
		(void)snprintf(why, EXTERNAL_WHY, "%s entries match \"%.150s\"",
		    n == 0 ? "no" : "several", filter);
	} else {
		(void)fail(why, "search", ld, rc);
	}
	ldap_msgfree(found);
	return dn;
}

static enum external_verdict
search_and_prove(const struct place *p, const struct external_question *q, char why[EXTERNAL_WHY])
{
	enum external_verdict verdict;
	LDAP *ld = open_server(p, q, why);
	char *dn = NULL;
	int rc;

	if (ld == NULL)
		return EXTERNAL_FAILED;
	rc = bind_as(ld, get(q, "ldapbinddn"), get(q, "ldapbindpasswd"));
	if (rc == LDAP_SUCCESS) {
		dn = find_dn(ld, p, q, why, &verdict);
	} else {
		(void)fail(why, "bind for the search", ld, rc);
		verdict = EXTERNAL_FAILED; /* not the client's fault */
	}
	(void)ldap_unbind_ext_s(ld, NULL, NULL);
	if (dn != NULL)
		verdict = prove(p, q, dn, why);
	ldap_memfree(dn);
	return verdict;
}

/* --- the question ----------------------------------------------------------------------------- */

/* Characters that would mean something in a filter or a DN. */
static bool
odd_name(const struct external_question *q)
{
	bool dn = strchr(get(q, "ldapprefix"), '=') != NULL;

	return strpbrk(q->user, dn ? "*()\\/,+\"<>;=#" : "*()\\/") != NULL;
}

enum external_verdict
external_ldap(const struct external_question *q, char why[EXTERNAL_WHY])
{
	enum external_verdict verdict = EXTERNAL_FAILED;
	struct place p;
	char dn[1024];

	if (odd_name(q)) {
		strlcpy(
		    why, "the user's name has characters that LDAP gives a meaning", EXTERNAL_WHY);
		return EXTERNAL_WRONG;
	}
	if (!find_place(&p, q))
		strlcpy(why, "ldapserver or ldapurl is wrong", EXTERNAL_WHY);
	else if (external_get(q->options, "ldapbasedn") != NULL || p.url != NULL)
		verdict = search_and_prove(&p, q, why);
	else if (snprintf(dn, sizeof(dn), "%s%s%s", get(q, "ldapprefix"), q->user,
		     get(q, "ldapsuffix")) >= (int)sizeof(dn))
		strlcpy(why, "ldapprefix and ldapsuffix are too long", EXTERNAL_WHY);
	else
		verdict = prove(&p, q, dn, why);
	if (p.url != NULL)
		ldap_free_urldesc(p.url);
	return verdict;
}

#endif

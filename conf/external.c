/*
 * external: see external.h. Called by load.c and hba.c, and external_get by the helper process,
 * which gets the strings from a worker. Pure. Passwords among the options (ldapbindpasswd) are
 * wiped when they are freed.
 */
#include "conf/external.h"

#include <stdlib.h>
#include <string.h>

#include "conf/strongbox.h"
#include "conf/tokens.h"

#define TEXT_MAX 4096

static const char *const pam_names[] = {"pamservice", "pam_use_hostname", NULL};
static const char *const ldap_names[] = {"ldapserver", "ldapport", "ldapscheme", "ldaptls",
    "ldapprefix", "ldapsuffix", "ldapbasedn", "ldapbinddn", "ldapbindpasswd", "ldapsearchattribute",
    "ldapsearchfilter", "ldapscope", "ldapurl", NULL};

bool
external_method(enum auth_type t)
{
	return t == AUTH_PAM || t == AUTH_LDAP;
}

bool
external_built(enum auth_type t)
{
#ifndef HAVE_PAM
	if (t == AUTH_PAM)
		return false;
#endif
#ifndef HAVE_LDAP
	if (t == AUTH_LDAP)
		return false;
#endif
	return external_method(t);
}

/* --- options ---------------------------------------------------------------------------------- */

const char *
external_get(const struct external *x, const char *name)
{
	const char *at = x->text, *end = x->len == 0 ? at : at + x->len; /* none: text is NULL */
	size_t n = strlen(name);

	while (at < end) {
		if (strncmp(at, name, n) == 0 && at[n] == '=')
			return at + n + 1;
		at += strlen(at) + 1;
	}
	return NULL;
}

static bool
known(enum auth_type t, const char *option, size_t n)
{
	const char *const *name = t == AUTH_PAM ? pam_names : ldap_names;

	for (; *name != NULL; name++)
		if (strlen(*name) == n && strncmp(*name, option, n) == 0)
			return true;
	return false;
}

static bool
is_flag(const char *value)
{
	return value == NULL || strcmp(value, "0") == 0 || strcmp(value, "1") == 0;
}

static bool
is_word(const char *value, const char *a, const char *b)
{
	return value == NULL || strcmp(value, a) == 0 || strcmp(value, b) == 0;
}

static bool
is_port(const char *value)
{
	long port = value == NULL ? 1 : strtol(value, NULL, 10);

	return port > 0 && port < 65536 &&
	       (value == NULL || strspn(value, "0123456789") == strlen(value));
}

const char *
external_add(struct external *x, enum auth_type t, const char *option)
{
	const char *value = strchr(option, '=');
	size_t size = strlen(option) + 1;
	char *more;

	if (value == NULL)
		return "expected name=value after the method";
	if (!known(t, option, (size_t)(value - option)))
		return t == AUTH_PAM ? "pam has the options pamservice and pam_use_hostname"
				     : "unknown option for ldap";
	if (x->len + size > TEXT_MAX)
		return "the options are too long";
	more = strongbox_take(x->len + size);
	if (x->len > 0)
		memcpy(more, x->text, x->len);
	memcpy(more + x->len, option, size);
	strongbox_put(x->text);
	x->text = more;
	x->len += size;
	return NULL;
}

struct adding {
	struct external *x;
	enum auth_type type;
};

static const char *
take_options(void *arg, const struct line *l)
{
	const struct adding *a = arg;
	const char *wrong = NULL;
	size_t i;

	for (i = 0; i < l->n && wrong == NULL; i++)
		wrong = l->v[i].n != 1 ? "a comma belongs into double quotes"
				       : external_add(a->x, a->type, l->v[i].v[0].text);
	return wrong;
}

const char *
external_add_all(struct external *x, enum auth_type t, const char *line)
{
	static char what[256];
	struct adding a = {x, t};
	FILE *err = fmemopen(what, sizeof(what), "w");
	const char *at;
	int errors;

	if (err == NULL)
		fatal("configuration");
	errors = tokens_parse(line, strlen(line), NULL, NULL, err, take_options, &a);
	fclose(err);
	if (errors == 0)
		return NULL;
	what[strcspn(what, "\n")] = '\0';
	at = strstr(what, ": "); /* behind the line's number, which means nothing here */
	return at == NULL ? what : at + 2;
}

static const char *
check_ldap(const struct external *x)
{
	bool search = external_get(x, "ldapbasedn") != NULL || external_get(x, "ldapurl") != NULL,
	     bind = external_get(x, "ldapprefix") != NULL || external_get(x, "ldapsuffix") != NULL;

	if (external_get(x, "ldapserver") == NULL && external_get(x, "ldapurl") == NULL)
		return "ldap needs ldapserver or ldapurl";
	if (external_get(x, "ldapserver") != NULL && external_get(x, "ldapurl") != NULL)
		return "ldapserver and ldapurl exclude each other";
	if (!search && !bind)
		return "ldap needs ldapprefix or ldapsuffix, or ldapbasedn";
	if (search && bind)
		return "ldapprefix and ldapsuffix exclude ldapbasedn and ldapurl";
	if (bind && (external_get(x, "ldapbinddn") != NULL ||
			external_get(x, "ldapsearchattribute") != NULL ||
			external_get(x, "ldapsearchfilter") != NULL))
		return "ldapprefix and ldapsuffix exclude the options for searching";
	if (external_get(x, "ldapsearchattribute") != NULL &&
	    external_get(x, "ldapsearchfilter") != NULL)
		return "ldapsearchattribute and ldapsearchfilter exclude each other";
	if (!is_flag(external_get(x, "ldaptls")))
		return "ldaptls is 0 or 1";
	if (!is_word(external_get(x, "ldapscheme"), "ldap", "ldaps"))
		return "ldapscheme is ldap or ldaps";
	if (!is_port(external_get(x, "ldapport")))
		return "ldapport is a number, 1 to 65535";
	return NULL;
}

const char *
external_check(const struct external *x, enum auth_type t)
{
	if (!external_built(t))
		return t == AUTH_PAM ? "pgdrove was built without PAM (libpam0g-dev)"
				     : "pgdrove was built without LDAP (libldap-dev)";
	if (t == AUTH_LDAP)
		return check_ldap(x);
	return is_flag(external_get(x, "pam_use_hostname")) ? NULL : "pam_use_hostname is 0 or 1";
}

void
external_free(struct external *x)
{
	strongbox_put(x->text);
	x->text = NULL;
	x->len = 0;
}

/*
 * tls: see tls.h. Called by load.c at the end of a file, when all values are known.
 *
 * Errors are told like all others of the configuration, with the option that names the wrong file.
 * The bytes of private keys are held, in memory for secrets, no longer than the load takes.
 */
#include "conf/tls.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "conf/files.h"
#include "conf/hosts.h"
#include "conf/option.h"
#include "conf/tls_files.h"

/* --- settings --------------------------------------------------------------------------------- */

/* The own value if there is one, else the global one. */
#define TEXT(own, global) ((own) != NULL ? (own) : (global))

void
tls_setting_listen(struct tls_setting *s, const struct conf *c, const struct conf_listen *l)
{
	*s = (struct tls_setting){.server = true,
	    .mode = l->client_tls_sslmode != -1 ? (enum tls_mode)l->client_tls_sslmode
						: c->client_tls_sslmode,
	    .key_file = TEXT(l->client_tls_key_file, c->client_tls_key_file),
	    .cert_file = TEXT(l->client_tls_cert_file, c->client_tls_cert_file),
	    .ca_file = TEXT(l->client_tls_ca_file, c->client_tls_ca_file),
	    .crl_file = TEXT(l->client_tls_crl_file, c->client_tls_crl_file),
	    .protocols = TEXT(l->client_tls_protocols, c->client_tls_protocols),
	    .ciphers = TEXT(l->client_tls_ciphers, c->client_tls_ciphers),
	    .ciphers13 = TEXT(l->client_tls13_ciphers, c->client_tls13_ciphers),
	    .curves = c->client_tls_ecdhcurve};
	if (l->path != NULL)
		s->mode = TLS_DISABLE;
}

void
tls_setting_database(struct tls_setting *s, const struct conf *c, const struct conf_database *d)
{
	*s = (struct tls_setting){.mode = d->server_tls_sslmode != -1
					      ? (enum tls_mode)d->server_tls_sslmode
					      : c->server_tls_sslmode,
	    .negotiation = d->server_tls_negotiation != -1
			       ? (enum tls_negotiation)d->server_tls_negotiation
			       : c->server_tls_negotiation,
	    .key_file = TEXT(d->server_tls_key_file, c->server_tls_key_file),
	    .cert_file = TEXT(d->server_tls_cert_file, c->server_tls_cert_file),
	    .ca_file = TEXT(d->server_tls_ca_file, c->server_tls_ca_file),
	    .crl_file = TEXT(d->server_tls_crl_file, c->server_tls_crl_file),
	    .protocols = TEXT(d->server_tls_protocols, c->server_tls_protocols),
	    .ciphers = TEXT(d->server_tls_ciphers, c->server_tls_ciphers),
	    .ciphers13 = TEXT(d->server_tls13_ciphers, c->server_tls13_ciphers),
	    .curves = "auto"};
	if (d->host[0] == '/' || d->host[0] == '@')
		s->mode = TLS_DISABLE;
}

/* --- one context being made ------------------------------------------------------------------- */

struct making {
	struct load *load;
	const struct tls_setting *setting;
	const config_setting_t *at; /* where the element stands; NULL = it is not in the file */
	struct tls_ctx *ctx;
	EVP_MD_CTX *hash; /* becomes the context's id */
};

/* "client_tls_key_file" of "key_file"; "client_tls13_ciphers" of "13_ciphers". */
static const char *
option_name(const struct making *m, const char *stem)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s_tls%s%s", m->setting->server ? "client" : "server",
	    stem[0] == '1' ? "" : "_", stem);
	return name;
}

static void
complain(struct making *m, const char *stem, const char *file, const char *why)
{
	const char *name = option_name(m, stem);
	const config_setting_t *own = m->at == NULL ? NULL : config_setting_get_member(m->at, name);
	const config_setting_t *root = config_setting_get_member(m->load->root, name);

	load_complain(m->load,
	    own != NULL	   ? own
	    : root != NULL ? root
			   : m->at,
	    name, "%s%s%s", file, file[0] == '\0' ? "" : ": ", why);
}

static void
add_hash(struct making *m, const void *bytes, size_t len)
{
	uint64_t n = len;

	if (EVP_DigestUpdate(m->hash, &n, sizeof(n)) != 1 ||
	    EVP_DigestUpdate(m->hash, bytes, len) != 1)
		fatalx("OpenSSL cannot compute SHA-256");
}

/* --- protocol versions ------------------------------------------------------------------------ */

static const struct {
	const char *word;
	int min, max;
} versions[] = {{"secure", TLS1_2_VERSION, TLS1_3_VERSION},
    {"default", TLS1_2_VERSION, TLS1_3_VERSION}, {"all", TLS1_VERSION, TLS1_3_VERSION},
    {"legacy", TLS1_VERSION, TLS1_3_VERSION}, {"tlsv1.0", TLS1_VERSION, TLS1_VERSION},
    {"tlsv1.1", TLS1_1_VERSION, TLS1_1_VERSION}, {"tlsv1.2", TLS1_2_VERSION, TLS1_2_VERSION},
    {"tlsv1.3", TLS1_3_VERSION, TLS1_3_VERSION}};

static bool
version_of(const char *word, size_t len, int *min, int *max)
{
	size_t i;

	for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (strlen(versions[i].word) == len &&
		    strncasecmp(versions[i].word, word, len) == 0) {
			*min = versions[i].min < *min ? versions[i].min : *min;
			*max = versions[i].max > *max ? versions[i].max : *max;
			return true;
		}
	return false;
}

/* A list by commas or blanks; what lies between the lowest and the highest is allowed, too. */
static void
use_protocols(struct making *m)
{
	const char *at = m->setting->protocols;
	int min = INT32_MAX, max = 0;

	for (at += strspn(at, ", :"); *at != '\0'; at += strspn(at, ", :")) {
		size_t len = strcspn(at, ", :");
		if (!version_of(at, len, &min, &max))
			break;
		at += len;
	}
	if (*at != '\0' || max == 0)
		complain(m, "protocols", m->setting->protocols,
		    "expected secure, all, or a list of tlsv1.0, tlsv1.1, tlsv1.2, tlsv1.3");
	else if (SSL_CTX_set_min_proto_version(m->ctx->ssl, min) != 1 ||
		 SSL_CTX_set_max_proto_version(m->ctx->ssl, max) != 1)
		complain(m, "protocols", m->setting->protocols, "OpenSSL does not have it");
}

static void
use_ciphers(struct making *m)
{
	const struct tls_setting *s = m->setting;
	SSL_CTX *ssl = m->ctx->ssl;
	char *curves = option_copy(s->curves); /* OpenSSL's macro takes it for its own */

	if (strcmp(s->ciphers, "default") != 0 && strcmp(s->ciphers, "secure") != 0 &&
	    SSL_CTX_set_cipher_list(ssl, s->ciphers) != 1)
		complain(m, "ciphers", s->ciphers, "OpenSSL knows no such cipher of TLS 1.2");
	if (s->ciphers13[0] != '\0' && SSL_CTX_set_ciphersuites(ssl, s->ciphers13) != 1)
		complain(m, "13_ciphers", s->ciphers13, "OpenSSL knows no such cipher of TLS 1.3");
	if (strcmp(s->curves, "auto") != 0 && SSL_CTX_set1_curves_list(ssl, curves) != 1)
		complain(m, "ecdhcurve", s->curves, "OpenSSL knows no such curve");
	free(curves);
	ERR_clear_error();
}

/* --- files ------------------------------------------------------------------------------------ */

/* The bytes of a file, the load's. NULL: it was complained of. */
static const char *
read_file(struct making *m, const char *stem, const char *path, size_t *len)
{
	const char *text = files_get(m->load->files, path, len);

	if (text == NULL)
		complain(m, stem, path, strerror(errno));
	else
		add_hash(m, text, *len);
	return text;
}

static void
use_pair(struct making *m, SSL_CTX *ssl, const char *cert_file, const char *key_file)
{
	const char *why = NULL, *cert, *key;
	size_t cert_len = 0, key_len = 0;

	cert = read_file(m, "cert_file", cert_file, &cert_len);
	key = read_file(m, "key_file", key_file, &key_len);
	if (cert != NULL && (why = tls_use_cert(ssl, cert, cert_len)) != NULL)
		complain(m, "cert_file", cert_file, why);
	if (key != NULL && why == NULL && cert != NULL &&
	    (why = tls_use_key(ssl, key, key_len)) != NULL)
		complain(m, "key_file", key_file, why);
	if (key != NULL && !files_received(m->load->files) &&
	    (why = tls_key_safe(key_file, m->load->conf->user)) != NULL)
		complain(m, "key_file", key_file, why);
}

static SSL_CTX *
new_ssl(bool server)
{
	SSL_CTX *ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (ssl == NULL)
		fatalx("OpenSSL cannot make a context");
	return ssl;
}

/* A server's certificate may be one of a list, each with its key in the other. The first is for
 * who asks for no name, or for one that no other has. */
static void
use_list(struct making *m)
{
	const struct tls_setting *s = m->setting;
	struct tls_ctx *t = m->ctx;
	char cert[PATH_MAX], key[PATH_MAX];
	size_t n = conf_elements(s->cert_file), i;

	if (n != conf_elements(s->key_file)) {
		complain(
		    m, "key_file", s->key_file, "as many are needed as there are certificates");
		return;
	}
	t->more = calloc(n, sizeof(SSL_CTX *));
	if (t->more == NULL)
		fatal("configuration");
	for (i = 0; i < n; i++) {
		if (i > 0)
			t->more[t->nmore++] = new_ssl(true);
		if (!conf_element(s->cert_file, i, cert, sizeof(cert)) ||
		    !conf_element(s->key_file, i, key, sizeof(key)))
			complain(m, "cert_file", s->cert_file, "a name is missing, or too long");
		else
			use_pair(m, i == 0 ? t->ssl : t->more[i - 1], cert, key);
	}
}

static void
use_roots(struct making *m)
{
	const struct tls_setting *s = m->setting;
	const char *why, *text;
	size_t len = 0;

	if (!s->server && strcmp(s->ca_file, "system") == 0) {
		if (SSL_CTX_set_default_verify_paths(m->ctx->ssl) != 1)
			complain(m, "ca_file", s->ca_file, "OpenSSL finds no roots of the system");
	} else if (s->ca_file[0] != '\0' &&
		   (text = read_file(m, "ca_file", s->ca_file, &len)) != NULL) {
		if ((why = tls_use_ca(m->ctx->ssl, text, len, s->server)) != NULL)
			complain(m, "ca_file", s->ca_file, why);
	}
	if (s->crl_file[0] != '\0' &&
	    (text = read_file(m, "crl_file", s->crl_file, &len)) != NULL) {
		if ((why = tls_use_crl(m->ctx->ssl, text, len)) != NULL)
			complain(m, "crl_file", s->crl_file, why);
	}
}

/* What one setting needs another for. */
static void
check_needs(struct making *m)
{
	const struct tls_setting *s = m->setting;
	char text[96];

	snprintf(text, sizeof(text), "is needed for %s_tls_sslmode %s",
	    s->server ? "client" : "server", tls_mode_name(s->mode));
	if (s->server && s->cert_file[0] == '\0')
		complain(m, "cert_file", "", text);
	if (s->server && s->key_file[0] == '\0')
		complain(m, "key_file", "", text);
	if (s->mode >= TLS_VERIFY_CA && s->ca_file[0] == '\0')
		complain(m, "ca_file", "", text);
	if (!s->server && (s->cert_file[0] == '\0') != (s->key_file[0] == '\0'))
		complain(m, s->key_file[0] == '\0' ? "key_file" : "cert_file", "",
		    "is needed: a certificate and its key go together");
	if (s->negotiation == TLS_DIRECT && s->mode < TLS_REQUIRE)
		complain(m, "negotiation", "", "direct needs server_tls_sslmode require or more");
}

/* --- contexts --------------------------------------------------------------------------------- */

/* TLS 1.3 clients get one ticket and not two: most of ours never come back with it. The sessions
 * lie in the tickets, not here. */
static void
set_common(struct tls_ctx *t, const struct tls_setting *s)
{
	int verify = SSL_VERIFY_NONE;

	t->mode = s->mode;
	t->negotiation = s->negotiation;
	t->server = s->server;
	t->asks = s->server && s->ca_file[0] != '\0';
	if (s->mode >= TLS_VERIFY_CA)
		verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	else if (t->asks)
		verify = SSL_VERIFY_PEER;
	SSL_CTX_set_verify(t->ssl, verify, NULL);
	SSL_CTX_set_options(t->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					SSL_OP_CIPHER_SERVER_PREFERENCE |
					SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(t->ssl, 1);
	SSL_CTX_set_dh_auto(t->ssl, 1);
	SSL_CTX_set_session_cache_mode(t->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(t->ssl, 1);
}

static void
add_setting(struct making *m)
{
	const struct tls_setting *s = m->setting;
	const int numbers[] = {s->server, (int)s->mode, (int)s->negotiation};
	const char *texts[] = {s->key_file, s->cert_file, s->ca_file, s->crl_file, s->protocols,
	    s->ciphers, s->ciphers13, s->curves};
	size_t i;

	add_hash(m, numbers, sizeof(numbers));
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		add_hash(m, texts[i], strlen(texts[i]));
}

/* A context with as much of the setting as is right; what is wrong has been told. */
static struct tls_ctx *
make(struct load *l, const struct tls_setting *s, const config_setting_t *at)
{
	static uint64_t serials;
	struct making m = {.load = l, .setting = s, .at = at, .hash = EVP_MD_CTX_new()};
	struct tls_ctx *t = calloc(1, sizeof(*t));

	if (t == NULL || m.hash == NULL || EVP_DigestInit_ex(m.hash, EVP_sha256(), NULL) != 1)
		fatalx("OpenSSL cannot make a context");
	t->ssl = new_ssl(s->server);
	m.ctx = t;
	t->refs = 1;
	t->serial = ++serials;
	set_common(t, s);
	add_setting(&m);
	check_needs(&m);
	use_protocols(&m);
	use_ciphers(&m);
	if (s->cert_file[0] == '\0' || s->key_file[0] == '\0')
		; /* told by check_needs, or none is wanted */
	else if (s->server)
		use_list(&m);
	else
		use_pair(&m, t->ssl, s->cert_file, s->key_file);
	use_roots(&m);
	if (EVP_DigestFinal_ex(m.hash, t->id, NULL) != 1 ||
	    SSL_CTX_set_session_id_context(t->ssl, t->id, sizeof(t->id)) != 1)
		fatalx("OpenSSL cannot make a context");
	EVP_MD_CTX_free(m.hash);
	return t;
}

struct tls_ctx *
tls_ctx_ref(struct tls_ctx *t)
{
	if (t != NULL)
		t->refs++;
	return t;
}

void
tls_ctx_unref(struct tls_ctx *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	while (t->nmore > 0)
		SSL_CTX_free(t->more[--t->nmore]);
	free(t->more);
	SSL_CTX_free(t->ssl);
	free(t);
}

/* --- all of a configuration ------------------------------------------------------------------- */

static bool
same_setting(const struct tls_setting *a, const struct tls_setting *b)
{
	return a->server == b->server && a->mode == b->mode && a->negotiation == b->negotiation &&
	       strcmp(a->key_file, b->key_file) == 0 && strcmp(a->cert_file, b->cert_file) == 0 &&
	       strcmp(a->ca_file, b->ca_file) == 0 && strcmp(a->crl_file, b->crl_file) == 0 &&
	       strcmp(a->protocols, b->protocols) == 0 && strcmp(a->ciphers, b->ciphers) == 0 &&
	       strcmp(a->ciphers13, b->ciphers13) == 0 && strcmp(a->curves, b->curves) == 0;
}

static const config_setting_t *
element(const struct load *l, const char *list, size_t i)
{
	const config_setting_t *s = config_setting_get_member(l->root, list);

	return s == NULL ? NULL : config_setting_get_elem(s, (unsigned int)i);
}

static void
load_listeners(struct load *l)
{
	struct conf *c = l->conf;
	struct tls_setting mine, other;
	size_t i, k;

	for (i = 0; i < c->nlisten; i++) {
		tls_setting_listen(&mine, c, &c->listen[i]);
		if (mine.mode == TLS_DISABLE)
			continue;
		for (k = 0; k < i && c->listen[i].tls == NULL; k++) {
			tls_setting_listen(&other, c, &c->listen[k]);
			if (same_setting(&mine, &other))
				c->listen[i].tls = tls_ctx_ref(c->listen[k].tls);
		}
		if (c->listen[i].tls == NULL)
			c->listen[i].tls = make(l, &mine, element(l, "listen", i));
	}
}

static void
load_databases(struct load *l)
{
	struct conf *c = l->conf;
	struct tls_setting mine, other;
	size_t i, k;

	for (i = 0; i < c->ndatabases; i++) {
		tls_setting_database(&mine, c, &c->databases[i]);
		if (mine.mode == TLS_DISABLE)
			continue;
		for (k = 0; k < i && c->databases[i].tls == NULL; k++) {
			tls_setting_database(&other, c, &c->databases[k]);
			if (same_setting(&mine, &other))
				c->databases[i].tls = tls_ctx_ref(c->databases[k].tls);
		}
		if (c->databases[i].tls == NULL)
			c->databases[i].tls = make(l, &mine, element(l, "databases", i));
	}
}

void
tls_load(struct load *l)
{
	load_listeners(l);
	load_databases(l);
}

static void
warn_one(const SSL_CTX *ssl, const char *what, const char *file)
{
	int64_t left = tls_cert_left(ssl);

	if (left < 0)
		log_warnx("%s %s: the certificate has expired", what, file);
	else if (left < TLS_EXPIRES)
		log_warnx(
		    "%s %s: the certificate expires in %d days", what, file, (int)(left / 86400));
}

static void
warn_list(const struct tls_ctx *t, const char *list)
{
	char file[PATH_MAX];
	size_t i;

	for (i = 0; t != NULL && conf_element(list, i, file, sizeof(file)); i++)
		warn_one(i == 0 ? t->ssl : t->more[i - 1], "client_tls_cert_file", file);
}

void
tls_warn(const struct conf *c)
{
	struct tls_setting s;
	size_t i;

	for (i = 0; i < c->nlisten; i++) {
		tls_setting_listen(&s, c, &c->listen[i]);
		warn_list(c->listen[i].tls, s.cert_file);
	}
	for (i = 0; i < c->ndatabases; i++) {
		tls_setting_database(&s, c, &c->databases[i]);
		if (c->databases[i].tls != NULL)
			warn_one(c->databases[i].tls->ssl, "server_tls_cert_file", s.cert_file);
	}
}

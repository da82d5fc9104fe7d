/*
 * fuzz_hba: any bytes as pg_hba.conf and as pg_ident.conf, and a few clients against them. Traps
 * when a file is refused without a line, or a rule fits whose line is not in the file.
 *
 * Input with '@' is left out, since the fuzzer must not read this machine's files.
 */
#include "conf/hba.h"
#include "conf/ident.h"
#include "tests/fuzz/fuzz.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void
clients(const struct hba *h, size_t lines)
{
	static const struct hba_client who[] = {{.local = true, .db = "app", .user = "app"},
	    {.local = true, .replication = true, .db = "", .user = "app"},
	    {.db = "all", .user = "joe", .addr.s6_addr = {[15] = 1}},
	    {.tls = true,
		.db = "x",
		.user = "",
		.addr.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}}};
	size_t i;

	for (i = 0; i < sizeof(who) / sizeof(who[0]); i++) {
		const struct hba_rule *r = hba_match(h, &who[i]);
		HOLDS(r == NULL || (r->line >= 1 && (size_t)r->line <= lines &&
				       r->method != AUTH_HBA && r->method != AUTH_ANY));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char *errors = NULL;
	size_t n, i, lines = 1;
	FILE *err;
	struct hba *h;
	struct ident *x;

	if (size > 4096 || memchr(data, '@', size) != NULL)
		return 0;
	for (i = 0; i < size; i++)
		lines += data[i] == '\n';
	err = open_memstream(&errors, &n);
	HOLDS(err != NULL);
	h = hba_parse(text, size, "f", err);
	fflush(err);
	HOLDS((h == NULL) == (n > 0));
	if (h != NULL)
		clients(h, lines);
	hba_free(h);
	x = ident_parse(text, size, "f", err);
	if (x != NULL) {
		(void)ident_has(x, "m");
		(void)ident_allows(x, "m", "joe", "joe");
		(void)ident_allows(x, "m", "joe_at_example.org", "joe");
	}
	ident_free(x);
	fclose(err);
	free(errors);
	return 0;
}

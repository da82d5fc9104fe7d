/*
 * console_dns: SHOW DNS_HOSTS: the names of servers whose addresses the workers keep. See
 * console_gather.h. Each worker looks up for itself: a name has one row, with what is kept longest.
 */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>

#include "worker/console_gather.h"
#include "worker/console_sheet.h"
#include "worker/loop.h"
#include "worker/resolve.h"

struct name {
	char host[256];
	char addrs[512];
	int64_t until_us;
};

static void
add_name(const char *host, const struct address *addrs, size_t n, int64_t until_us, void *list)
{
	struct name *x = gather_add(list, sizeof(*x));
	char text[NI_MAXHOST];
	size_t i;

	strlcpy(x->host, host, sizeof(x->host));
	x->until_us = until_us;
	for (i = 0; i < n; i++) {
		if (getnameinfo((const void *)&addrs[i].ss, addrs[i].len, text, sizeof(text), NULL,
			0, NI_NUMERICHOST) != 0)
			continue;
		if (x->addrs[0] != '\0')
			strlcat(x->addrs, ",", sizeof(x->addrs));
		strlcat(x->addrs, text, sizeof(x->addrs));
	}
}

static void
collect(struct gather_list *l)
{
	resolve_each(add_name, l);
}

static int
by_host(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int order = strcmp(x->host, y->host);

	return order != 0 ? order : (x->until_us < y->until_us) - (x->until_us > y->until_us);
}

static void
fill(struct gather_list *l, struct sheet *s, const char *show)
{
	const struct name *x = l->v;
	size_t i;

	(void)show;
	if (l->n > 0)
		qsort(l->v, l->n, sizeof(*x), by_host);
	for (i = 0; i < l->n; i++) {
		int64_t left_us = x[i].until_us - loop_now();
		if (i > 0 && strcmp(x[i].host, x[i - 1].host) == 0)
			continue;
		sheet_text(s, x[i].host);
		sheet_number(s, left_us < 0 ? 0 : (uint64_t)left_us / 1000000);
		sheet_text(s, x[i].addrs);
	}
}

const struct gather_kind gather_dns = {sizeof(struct name), collect, fill};

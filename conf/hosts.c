/* hosts: see hosts.h. Blanks around an element do not count; an empty element is an error. */
#include "conf/hosts.h"

#include <stdlib.h>
#include <string.h>

size_t
conf_elements(const char *list)
{
	size_t n = 1;

	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

bool
conf_element(const char *list, size_t i, char *out, size_t size)
{
	size_t n;

	for (; i > 0; i--) {
		list = strchr(list, ',');
		if (list == NULL)
			return false;
		list++;
	}
	list += strspn(list, " \t");
	n = strcspn(list, ",");
	while (n > 0 && strchr(" \t", list[n - 1]) != NULL)
		n--;
	if (n == 0 || n >= size)
		return false;
	memcpy(out, list, n);
	out[n] = '\0';
	return true;
}

size_t
conf_hosts(const struct conf_database *d)
{
	return conf_elements(d->host);
}

static bool
port_of(const char *ports, size_t i, uint16_t *port)
{
	char text[8], *end;
	unsigned long n;

	if (!conf_element(ports, i, text, sizeof(text)))
		return false;
	n = strtoul(text, &end, 10);
	if (*end != '\0' || n < 1 || n > 65535)
		return false;
	*port = (uint16_t)n;
	return true;
}

bool
conf_host(const struct conf_database *d, size_t i, char name[CONF_HOST_SIZE], uint16_t *port)
{
	*port = d->port;
	return conf_element(d->host, i, name, CONF_HOST_SIZE) &&
	       (d->ports == NULL || port_of(d->ports, i, port));
}

enum load_balance
conf_load_balance(const struct conf *c, const struct conf_database *d)
{
	return d->load_balance_hosts != -1 ? (enum load_balance)d->load_balance_hosts
					   : c->load_balance_hosts;
}

const char *
conf_hosts_wrong(const struct conf_database *d, const char **key)
{
	char name[CONF_HOST_SIZE];
	size_t i, n = conf_hosts(d);
	uint16_t port;

	*key = "host";
	if (n > CONF_HOSTS)
		return "has more than 16 hosts";
	for (i = 0; i < n; i++)
		if (!conf_element(d->host, i, name, sizeof(name)))
			return "is empty or too long, or one of its hosts is";
	*key = "ports";
	if (d->ports == NULL)
		return NULL;
	if (conf_elements(d->ports) != n)
		return "must have as many ports as there are hosts";
	for (i = 0; i < n; i++)
		if (!port_of(d->ports, i, &port))
			return "has something that is no port (1 to 65535)";
	return NULL;
}

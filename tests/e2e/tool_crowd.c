/*
 * tool_crowd: many libpq clients in one process, for the end-to-end tests in shell (lib.sh: crowd).
 *
 * It is driven over standard input and answers each line with one line on standard output:
 *
 *   open N        adds N clients and connects them         open CONNECTED FAILED
 *   refill        connects the lost ones again             refill CONNECTED FAILED
 *   query SQL     once on every living client              query OK ERRORS LOST
 *   run SQL       over and over on every living client, until the next line comes (which ends it
 *                 and is not a command); nobody reconnects run OK ERRORS LOST
 *   storm SQL     the same, and who is lost reconnects     storm OK ERRORS LOST
 *   look          who is still there?                      look ALIVE LOST
 *   heard         who has been notified (NOTIFY) since?    heard CLIENTS
 *   told NAME V   whose setting NAME is V, as the server has said?
 *                                                          told CLIENTS
 *   close         closes all and forgets them              close
 *   end, EOF      the end
 *
 * ":i" in the SQL stands for the client's number, ":t" for a tag that no other query has: then the
 * first column must be the tag, else the answer is an error, told with the word FOREIGN. LOST
 * counts connections that broke during the command, ERRORS answers with an error on a connection
 * that lives. Every error's text goes to standard error.
 *
 * tool_crowd CONNINFO
 */
#include <err.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define SEATS_MAX	8192
#define CONNECTING_MAX	64
#define CONNECT_WAIT_MS 60000

enum seat_state { SEAT_LOST, SEAT_CONNECTING, SEAT_IDLE, SEAT_BUSY };

struct seat {
	enum seat_state state;
	PGconn *conn;
	PostgresPollingStatusType want;
	int64_t since_ms;
	bool failed; /* the answer being read has an error in it */
	long asked;  /* how many queries so far */
	bool tagged; /* the answer must be the tag of the last one */
};

static struct seat seats[SEATS_MAX];
static struct pollfd fds[SEATS_MAX + 1];
static int nseats;
static const char *conninfo;
static struct {
	unsigned long ok, errors, lost, connected;
} count;

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
seat_lose(struct seat *s, const char *why)
{
	fprintf(stderr, "client %d: lost: %s\n", (int)(s - seats), why);
	PQfinish(s->conn);
	s->conn = NULL;
	s->state = SEAT_LOST;
	count.lost++;
}

static void
seat_connect(struct seat *s)
{
	s->conn = PQconnectStart(conninfo);
	if (s->conn == NULL)
		errx(1, "out of memory");
	s->state = SEAT_CONNECTING;
	s->want = PGRES_POLLING_WRITING;
	s->since_ms = now_ms();
	if (PQstatus(s->conn) == CONNECTION_BAD)
		seat_lose(s, PQerrorMessage(s->conn));
}

static void
seat_connecting(struct seat *s, bool ready)
{
	if (ready)
		s->want = PQconnectPoll(s->conn);
	if (s->want == PGRES_POLLING_OK) {
		(void)PQsetnonblocking(s->conn, 1);
		s->state = SEAT_IDLE;
		count.connected++;
	} else if (s->want == PGRES_POLLING_FAILED) {
		seat_lose(s, PQerrorMessage(s->conn));
	} else if (now_ms() - s->since_ms > CONNECT_WAIT_MS) {
		seat_lose(s, "no login in time");
	}
}

static void
seat_tag(const struct seat *s, char tag[40])
{
	(void)snprintf(tag, 40, "tag-%d-%ld", (int)(s - seats), s->asked);
}

/* Puts `word` in the place of the mark. */
static bool
fill_in(char *sql, size_t size, const char *mark, const char *word)
{
	char *at = strstr(sql, mark), rest[4096];

	if (at == NULL)
		return false;
	(void)snprintf(rest, sizeof rest, "%s", at + strlen(mark));
	(void)snprintf(at, size - (size_t)(at - sql), "%s%s", word, rest);
	return true;
}

static void
seat_ask(struct seat *s, const char *sql)
{
	char text[4096], word[40];

	(void)snprintf(text, sizeof text, "%s", sql);
	(void)snprintf(word, sizeof word, "%d", (int)(s - seats));
	(void)fill_in(text, sizeof text, ":i", word);
	s->asked++;
	seat_tag(s, word);
	s->tagged = fill_in(text, sizeof text, ":t", word);
	s->failed = false;
	s->state = SEAT_BUSY;
	if (PQsendQuery(s->conn, text) != 1 || PQflush(s->conn) == -1)
		seat_lose(s, PQerrorMessage(s->conn));
}

static void
seat_check(struct seat *s, const PGresult *r)
{
	char tag[40];

	seat_tag(s, tag);
	if (PQresultStatus(r) == PGRES_FATAL_ERROR) {
		s->failed = true;
		fprintf(stderr, "client %d: %s", (int)(s - seats), PQresultErrorMessage(r));
	} else if (s->tagged && (PQntuples(r) != 1 || strcmp(PQgetvalue(r, 0, 0), tag) != 0)) {
		s->failed = true;
		fprintf(stderr, "client %d: FOREIGN: wanted %s, got %s\n", (int)(s - seats), tag,
		    PQntuples(r) == 1 ? PQgetvalue(r, 0, 0) : "no row");
	}
}

/* Takes the answer as far as it is here. */
static void
seat_answer(struct seat *s)
{
	PGresult *r;

	if (PQflush(s->conn) == -1 || PQconsumeInput(s->conn) != 1) {
		seat_lose(s, PQerrorMessage(s->conn));
		return;
	}
	while (!PQisBusy(s->conn)) {
		r = PQgetResult(s->conn);
		if (r == NULL) {
			s->state = SEAT_IDLE;
			count.ok += !s->failed;
			count.errors += s->failed;
			return;
		}
		seat_check(s, r);
		PQclear(r);
		if (PQstatus(s->conn) == CONNECTION_BAD) {
			seat_lose(s, PQerrorMessage(s->conn));
			return;
		}
	}
}

static int
count_state(enum seat_state state)
{
	int i, n = 0;

	for (i = 0; i < nseats; i++)
		n += seats[i].state == state;
	return n;
}

static short
wanted_events(const struct seat *s)
{
	if (s->state == SEAT_CONNECTING)
		return s->want == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
	return s->state == SEAT_BUSY ? POLLIN : 0;
}

/* One round of everybody's business; standard input ends the wait too. */
static bool
turn(int wait_ms)
{
	int i;

	fds[nseats] = (struct pollfd){.fd = 0, .events = POLLIN};
	for (i = 0; i < nseats; i++) {
		short events = wanted_events(&seats[i]);
		fds[i] = (struct pollfd){
		    .fd = events == 0 ? -1 : PQsocket(seats[i].conn), .events = events};
	}
	if (poll(fds, (nfds_t)nseats + 1, wait_ms) == -1 && errno != EINTR)
		err(1, "poll");
	for (i = 0; i < nseats; i++) {
		if (seats[i].state == SEAT_CONNECTING)
			seat_connecting(&seats[i], fds[i].revents != 0);
		else if (seats[i].state == SEAT_BUSY && fds[i].revents != 0)
			seat_answer(&seats[i]);
	}
	return fds[nseats].revents != 0;
}

static void
connect_lost(int from, const char *what)
{
	int i = from, open = 0;

	while (i < nseats || open > 0) {
		for (; i < nseats && open < CONNECTING_MAX; i++)
			if (seats[i].state == SEAT_LOST) {
				seat_connect(&seats[i]);
				open++;
			}
		(void)turn(50);
		open = count_state(SEAT_CONNECTING);
	}
	printf("%s %lu %lu\n", what, count.connected, count.lost);
}

static void
ask_idle(const char *sql)
{
	int i;

	for (i = 0; i < nseats; i++)
		if (seats[i].state == SEAT_IDLE)
			seat_ask(&seats[i], sql);
}

static void
query_all(const char *sql)
{
	ask_idle(sql);
	while (count_state(SEAT_BUSY) > 0)
		(void)turn(1000);
	printf("query %lu %lu %lu\n", count.ok, count.errors, count.lost);
}

static void
reconnect_lost(void)
{
	int i, open = count_state(SEAT_CONNECTING);

	for (i = 0; i < nseats && open < CONNECTING_MAX; i++)
		if (seats[i].state == SEAT_LOST) {
			seat_connect(&seats[i]);
			open++;
		}
}

static void
run(const char *what, const char *sql, bool reconnect)
{
	char line[64];
	bool stop = false;

	while (!stop) {
		if (reconnect)
			reconnect_lost();
		ask_idle(sql);
		stop = turn(100);
	}
	while (count_state(SEAT_BUSY) + count_state(SEAT_CONNECTING) > 0)
		(void)turn(1000);
	if (fgets(line, sizeof line, stdin) == NULL)
		exit(0);
	printf("%s %lu %lu %lu\n", what, count.ok, count.errors, count.lost);
}

static void
look(void)
{
	struct pollfd p;
	int i;

	for (i = 0; i < nseats; i++) {
		if (seats[i].state != SEAT_IDLE)
			continue;
		p = (struct pollfd){.fd = PQsocket(seats[i].conn), .events = POLLIN};
		if (poll(&p, 1, 0) == 1 && PQconsumeInput(seats[i].conn) != 1)
			seat_lose(&seats[i], PQerrorMessage(seats[i].conn));
	}
	printf("look %d %lu\n", count_state(SEAT_IDLE), count.lost);
}

/* Notifications come by themselves: one look each, the caller asks again. */
static void
heard(void)
{
	static const struct timespec moment = {.tv_nsec = 20000000};
	PGnotify *note;
	int i, n = 0;

	(void)nanosleep(&moment, NULL);
	for (i = 0; i < nseats; i++) {
		if (seats[i].state != SEAT_IDLE || PQconsumeInput(seats[i].conn) != 1)
			continue;
		note = PQnotifies(seats[i].conn);
		n += note != NULL;
		for (; note != NULL; note = PQnotifies(seats[i].conn))
			PQfreemem(note);
	}
	printf("heard %d\n", n);
}

static void
told(const char *what)
{
	char name[64];
	const char *value, *has;
	int i, n = 0;

	value = strchr(what, ' ');
	if (value == NULL || (size_t)(value - what) >= sizeof name)
		errx(2, "%s: not a setting and its value", what);
	(void)snprintf(name, sizeof name, "%.*s", (int)(value - what), what);
	for (i = 0; i < nseats; i++) {
		has = seats[i].state == SEAT_IDLE ? PQparameterStatus(seats[i].conn, name) : NULL;
		n += has != NULL && strcmp(has, value + 1) == 0;
	}
	printf("told %d\n", n);
}

static void
close_all(void)
{
	while (nseats > 0)
		PQfinish(seats[--nseats].conn);
	memset(seats, 0, sizeof seats);
	printf("close\n");
}

static void
command(char *line)
{
	int n, from = nseats;

	memset(&count, 0, sizeof count);
	if (strncmp(line, "open ", 5) == 0) {
		n = atoi(line + 5);
		if (n < 1 || nseats + n > SEATS_MAX)
			errx(2, "%s: not a number of clients", line + 5);
		nseats += n;
		connect_lost(from, "open");
	} else if (strcmp(line, "refill") == 0) {
		connect_lost(0, "refill");
	} else if (strncmp(line, "query ", 6) == 0) {
		query_all(line + 6);
	} else if (strncmp(line, "run ", 4) == 0) {
		run("run", line + 4, false);
	} else if (strncmp(line, "storm ", 6) == 0) {
		run("storm", line + 6, true);
	} else if (strcmp(line, "look") == 0) {
		look();
	} else if (strcmp(line, "heard") == 0) {
		heard();
	} else if (strncmp(line, "told ", 5) == 0) {
		told(line + 5);
	} else if (strcmp(line, "close") == 0) {
		close_all();
	} else {
		errx(2, "%s: no such command", line);
	}
}

int
main(int argc, char **argv)
{
	struct rlimit rl;
	char line[4096];

	if (argc != 2)
		errx(2, "usage: tool_crowd CONNINFO");
	conninfo = argv[1];
	setvbuf(stdin, NULL, _IONBF, 0); /* poll must see every line that was not read */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "end\n") != 0) {
		line[strcspn(line, "\n")] = '\0';
		command(line);
	}
	return 0;
}

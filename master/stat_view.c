/*
 * stat_view: one look at an instance: its statistics segment, and what /proc says about the
 * processes it names.
 *
 * Called by stat.c and its renderings. Owns the mapping until stat_close(). Reads only, waits for
 * nobody, and so works when every process of the instance is stopped or dead.
 */
#include "master/stat.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conf/log.h"
#include "master/master.h"

_Static_assert(sizeof(_Atomic uint64_t) == sizeof(uint64_t), "a row is an array of words");

/* The state letter of /proc/PID/stat, which follows the ')' of the name; 0 = no such process. */
static char
read_letter(uint64_t pid)
{
	char path[64], text[512];
	const char *end;
	ssize_t n;
	int fd;

	if (pid == 0 || pid > INT32_MAX)
		return 0;
	(void)snprintf(path, sizeof path, "/proc/%u/stat", (unsigned int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return 0;
	n = read(fd, text, sizeof text - 1);
	(void)close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	end = strrchr(text, ')');
	if (end == NULL || end[1] != ' ')
		return 0;
	return end[2];
}

enum stat_life
stat_judge(uint64_t pid, uint64_t state, char letter, int64_t silent_us, int64_t timeout_us)
{
	if (state == STATS_UNUSED)
		return LIFE_UNUSED;
	if (pid == 0 || state == STATS_DOWN)
		return LIFE_DOWN;
	if (letter == 0 || letter == 'Z' || letter == 'X')
		return LIFE_DEAD;
	if (letter == 'T' || letter == 't')
		return LIFE_STOPPED;
	if (silent_us > timeout_us)
		return LIFE_LATE;
	if (state == STATS_STARTING)
		return LIFE_STARTING;
	if (state == STATS_SURPLUS)
		return LIFE_SURPLUS;
	return state == STATS_DRAINING ? LIFE_DRAINING : LIFE_SERVING;
}

const char *
stat_life_name(enum stat_life life)
{
	static const char *const names[] = {"down", "starting", "serving", "draining", "late",
	    "stopped", "dead", "unused", "surplus"};

	return names[life];
}

const char *
stat_health_name(enum stat_health health)
{
	static const char *const names[] = {"healthy", "degraded", "usage", "not running"};

	return names[health];
}

static enum stat_life
judge_master(const struct stat_view *v)
{
	const enum stats_state state = stats_state(v->stats);
	const uint64_t pid = (uint64_t)stats_master_pid(v->stats);
	const int64_t silent = v->now_us - stats_master_heartbeat(v->stats);
	uint64_t like = STATS_SERVING;

	if (state == STATS_STOPPED)
		return LIFE_DOWN;
	if (state == STATS_BOOTING)
		like = STATS_STARTING;
	if (state == STATS_STOPPING)
		like = STATS_DRAINING;
	return stat_judge(pid, like, read_letter(pid), silent, v->timeout_us);
}

static enum stat_life
judge_child(const struct stat_view *v, uint32_t w)
{
	const struct stats_worker *row = stats_worker(v->stats, w);
	const uint64_t pid = stats_get(&row->pid);
	int64_t last = (int64_t)stats_get(&row->heartbeat_us);

	/* Before its first heartbeat it counts from its start. */
	if (last < (int64_t)stats_get(&row->started_us))
		last = (int64_t)stats_get(&row->started_us);
	return stat_judge(
	    pid, stats_get(&row->state), read_letter(pid), v->now_us - last, v->timeout_us);
}

static enum stat_health
judge_all(const struct stat_view *v)
{
	uint32_t w;

	if (v->master == LIFE_DOWN || v->master == LIFE_DEAD)
		return STAT_NOT_RUNNING;
	if (v->master != LIFE_SERVING)
		return STAT_DEGRADED;
	for (w = 0; w < v->nchildren; w++)
		if (v->lives[w] != LIFE_SERVING && v->lives[w] != LIFE_UNUSED &&
		    v->lives[w] != LIFE_SURPLUS)
			return STAT_DEGRADED;
	return STAT_HEALTHY;
}

static int64_t
read_uptime(const struct stat_view *v)
{
	struct timespec ts;
	int64_t up;

	if (v->master == LIFE_DOWN || v->master == LIFE_DEAD ||
	    clock_gettime(CLOCK_REALTIME, &ts) == -1)
		return 0;
	up = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 - stats_start_time(v->stats);
	return up > 0 ? up : 0;
}

bool
stat_open(struct stat_view *v, const char *path, int64_t timeout_us, char *why, size_t size)
{
	uint32_t w;

	memset(v, 0, sizeof *v);
	v->path = path;
	v->timeout_us = timeout_us;
	v->stats = stats_open(path, why, size);
	if (v->stats == NULL)
		return false;
	v->now_us = master_now_us();
	v->nchildren = stats_workers(v->stats);
	v->lives = calloc(v->nchildren, sizeof *v->lives);
	if (v->lives == NULL)
		fatal("out of memory");
	v->master = judge_master(v);
	for (w = 0; w < v->nchildren; w++)
		v->lives[w] = judge_child(v, w);
	v->uptime_us = read_uptime(v);
	v->health = judge_all(v);
	return true;
}

void
stat_close(struct stat_view *v)
{
	free(v->lives);
	stats_close(v->stats);
}

bool
stat_worker_known(const struct stat_view *v, uint32_t w)
{
	return v->lives[w] != LIFE_UNUSED || stats_get(&stats_worker(v->stats, w)->incarnation) > 0;
}

uint32_t
stat_workers(const struct stat_view *v)
{
	uint32_t w, n = 0;

	for (w = 0; w + 1 < v->nchildren; w++)
		n += v->lives[w] != LIFE_UNUSED && v->lives[w] != LIFE_SURPLUS;
	return n;
}

uint64_t
stat_worker_value(const struct stat_view *v, uint32_t w, size_t field)
{
	const void *row = stats_worker(v->stats, w);

	return stats_get((const _Atomic uint64_t *)row + field);
}

static bool
is_moment(const struct stats_field *f)
{
	return !f->counter && strcmp(f->unit, "us") == 0;
}

/* Rows of dead workers count too: their gauges are zero, their counters stay true. */
uint64_t
stat_pool_value(const struct stat_view *v, uint32_t pool, size_t field)
{
	uint64_t sum = 0, oldest = 0, value;
	const void *row;
	uint32_t w;

	for (w = 0; w < v->nchildren; w++) {
		row = stats_pool(v->stats, pool, w);
		value = stats_get((const _Atomic uint64_t *)row + field);
		sum += value;
		if (value != 0 && (oldest == 0 || value < oldest))
			oldest = value;
	}
	/* A point in time is not summed: the earliest of all workers. */
	return is_moment(&stats_pool_fields[field]) ? oldest : sum;
}

bool
stat_pool_named(const struct stat_view *v, uint32_t pool, char *db, char *user)
{
	return stats_pool_names(v->stats, pool, db, user);
}

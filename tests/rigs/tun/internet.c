/*
 * An internet behind a TUN device: reads the datagrams that the kernel of this network namespace sends
 * into the device, and sends what routers and targets would have answered, when they would have.
 *
 * One thread. It waits in ppoll until shortly before the next reply is due and spins for the rest, because
 * being woken takes tens of microseconds; it also spins for a while after a datagram came, so that the
 * arrival of a burst is stamped without waking up for each; and, if asked to, for a while when nothing is
 * on its way, so that even the first datagram of a burst finds it awake. It never spins for long at a
 * stretch: the kernel would take the processor away to let others run. Commands come on the standard
 * input, one a line, and each is answered by one line; the end of the input ends the program:
 *
 *     scenario FILE SEED    follow another topology; the network begins anew
 *     reset SEED            the network begins anew: nothing on its way, empty log, full token buckets
 *     log FILE              write the log, as soon as nothing is on its way
 */
#define _GNU_SOURCE
#include "forward.h"
#include "packet.h"
#include "record.h"
#include "scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS 1000000000LL
#define PRIORITY 10
#define COMMAND_INTERVAL_NS 1000000 /* how often commands are looked for while spinning */

/* A reply on its way. */
struct pending {
    int64_t due_ns;
    uint64_t order; /* of two that are due at the same time the first made goes first */
    struct record record;
    size_t length;
    uint8_t *datagram;
};

struct internet {
    int device;
    int64_t spin_ns;
    int64_t linger_ns;
    int64_t vigil_ns;
    struct scenario *scenario;
    uint64_t seed;
    int64_t epoch_ns;
    int64_t last_arrival_ns;
    int64_t last_departure_ns;
    uint64_t probes;
    uint64_t answers;
    struct record_log log;
    struct pending *heap; /* the earliest first */
    size_t heap_count;
    size_t heap_capacity;
    char input[4096];
    size_t input_length;
    char log_file[4096]; /* asked for and not written yet; empty if none is */
    bool ended;
};

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * NANOSECONDS + now.tv_nsec;
}

static void say(const char *text)
{
    puts(text);
    fflush(stdout);
}

/* --- the replies on their way, a binary heap ------------------------------------------------------- */

static bool earlier(const struct pending *one, const struct pending *other)
{
    return one->due_ns != other->due_ns ? one->due_ns < other->due_ns : one->order < other->order;
}

static void heap_push(struct internet *internet, struct pending entry)
{
    if (internet->heap_count == internet->heap_capacity) {
        internet->heap_capacity = internet->heap_capacity > 0 ? 2 * internet->heap_capacity : 4096;
        internet->heap = realloc(internet->heap, internet->heap_capacity * sizeof *internet->heap);
        if (internet->heap == NULL) {
            fputs("no memory for replies\n", stderr);
            exit(1);
        }
    }
    size_t place = internet->heap_count++;
    while (place > 0 && earlier(&entry, &internet->heap[(place - 1) / 2])) {
        internet->heap[place] = internet->heap[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    internet->heap[place] = entry;
}

static struct pending heap_pop(struct internet *internet)
{
    struct pending first = internet->heap[0];
    struct pending last = internet->heap[--internet->heap_count];
    size_t place = 0;
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= internet->heap_count)
            break;
        if (child + 1 < internet->heap_count && earlier(&internet->heap[child + 1], &internet->heap[child]))
            child++;
        if (!earlier(&internet->heap[child], &last))
            break;
        internet->heap[place] = internet->heap[child];
        place = child;
    }
    if (internet->heap_count > 0)
        internet->heap[place] = last;
    return first;
}

/* --- probes in, replies out ------------------------------------------------------------------------ */

static struct record probe_record(const struct internet *internet, const struct probe *probe, int64_t now_ns,
                                  int64_t realtime_ns)
{
    struct record record = {
        .probe = internet->probes,
        .monotonic_ns = now_ns,
        .realtime_ns = realtime_ns,
        .due_ns = now_ns,
        .kind = RECORD_PROBE,
        .version = (uint8_t)probe->version,
        .protocol = (uint8_t)probe->protocol,
        .ttl = (uint8_t)probe->ttl,
        .traffic_class = (uint8_t)probe->traffic_class,
        .outcome = OUTCOME_IGNORED,
        .identifier = probe->identifier,
        .sequence = probe->sequence,
        .checksum = probe->checksum,
        .checksum_right = probe->checksum_right,
        .length = (uint16_t)probe->length,
        .label = probe->label,
        .number = probe->number,
    };
    if (probe->address_size > 0) {
        memcpy(record.source, probe->source, probe->address_size);
        memcpy(record.destination, probe->destination, probe->address_size);
    }
    return record;
}

/* Let an answer leave when it is due, or a forgery instead, if that is not NULL. */
static void schedule_answer(struct internet *internet, const struct probe *probe, struct scheduled_answer *scheduled,
                            const struct record *record, const struct forgery *forgery)
{
    static uint8_t buffer[MAX_DATAGRAM + 2048];
    struct pending entry = {.due_ns = record->monotonic_ns + scheduled->delay_ns, .order = internet->answers++};
    entry.length = forgery == NULL ? answer_build(buffer, probe, &scheduled->answer)
                                   : forgery_build(buffer, forgery, probe, &scheduled->answer);
    if (entry.length == 0)
        return;
    entry.datagram = malloc(entry.length);
    if (entry.datagram == NULL) {
        fputs("no memory for a reply\n", stderr);
        exit(1);
    }
    memcpy(entry.datagram, buffer, entry.length);
    entry.record = *record;
    entry.record.kind = RECORD_REPLY;
    entry.record.due_ns = entry.due_ns;
    entry.record.ttl = (uint8_t)scheduled->answer.ttl;
    entry.record.forgery = forgery == NULL ? 0 : (uint32_t)forgery->number;
    entry.record.fault = (uint8_t)scheduled->answer.fault;
    entry.record.icmp_type = (int16_t)scheduled->answer.type;
    entry.record.icmp_code = (int16_t)scheduled->answer.code;
    entry.record.length = (uint16_t)entry.length;
    memset(entry.record.source, 0, sizeof entry.record.source);
    memcpy(entry.record.source, scheduled->answer.address, probe->address_size);
    memset(entry.record.destination, 0, sizeof entry.record.destination);
    memcpy(entry.record.destination, probe->source, probe->address_size);
    heap_push(internet, entry);
}

/* What others make of the probe; they know how long the true answer takes. */
static void schedule_forgeries(struct internet *internet, const struct probe *probe, const struct verdict *verdict,
                               const struct record *record)
{
    const struct path *path = verdict->path;
    for (int i = 0; i < path->forgery_count; i++) {
        const struct forgery *forgery = &internet->scenario->forgeries[path->first_forgery + i];
        if (forgery->which != (probe->version == 6) || probe->ttl < forgery->first_ttl ||
            probe->ttl > forgery->last_ttl)
            continue;
        struct scheduled_answer scheduled = {.answer = verdict->truth};
        scheduled.delay_ns = (int64_t)(forgery->share * (double)verdict->rtt_ns) + forgery->delay_ns;
        schedule_answer(internet, probe, &scheduled, record, forgery);
    }
}

/* Read one datagram from the device; false if there is none. */
static bool take_probe(struct internet *internet)
{
    static uint8_t buffer[MAX_DATAGRAM + 1];
    ssize_t length = read(internet->device, buffer, sizeof buffer);
    if (length <= 0)
        return false;
    int64_t now_ns = read_clock(CLOCK_MONOTONIC);
    int64_t realtime_ns = read_clock(CLOCK_REALTIME);
    internet->last_arrival_ns = now_ns;
    struct probe probe;
    bool understood = probe_parse(&probe, buffer, (size_t)length);
    struct record record = probe_record(internet, &probe, now_ns, realtime_ns);
    if (understood && internet->scenario != NULL) {
        struct verdict verdict;
        forward_probe(&verdict, internet->scenario, &probe, internet->seed, now_ns, internet->epoch_ns);
        record.outcome = (uint8_t)verdict.outcome;
        record.station = (uint8_t)verdict.station;
        for (int i = 0; i < verdict.count; i++)
            schedule_answer(internet, &probe, &verdict.answers[i], &record, NULL);
        if (verdict.path != NULL)
            schedule_forgeries(internet, &probe, &verdict, &record);
    }
    *record_add(&internet->log) = record;
    internet->probes++;
    return true;
}

static void send_first(struct internet *internet)
{
    struct pending entry = heap_pop(internet);
    entry.record.monotonic_ns = internet->last_departure_ns = read_clock(CLOCK_MONOTONIC);
    entry.record.realtime_ns = read_clock(CLOCK_REALTIME);
    if (write(internet->device, entry.datagram, entry.length) < 0)
        entry.record.error = (uint16_t)errno;
    *record_add(&internet->log) = entry.record;
    free(entry.datagram);
}

/* --- commands -------------------------------------------------------------------------------------- */

static void begin_anew(struct internet *internet, uint64_t seed)
{
    while (internet->heap_count > 0)
        free(internet->heap[--internet->heap_count].datagram);
    internet->log.count = 0;
    internet->probes = 0;
    internet->answers = 0;
    internet->seed = seed;
    internet->epoch_ns = read_clock(CLOCK_MONOTONIC);
    if (internet->scenario != NULL)
        scenario_reset(internet->scenario, internet->epoch_ns);
}

static void obey(struct internet *internet, const char *line)
{
    char file[4096];
    char problem[256];
    unsigned long long seed;
    if (sscanf(line, "scenario %4095s %llu", file, &seed) == 2) {
        struct scenario *scenario = scenario_read(file, problem, sizeof problem);
        if (scenario == NULL) {
            printf("error %s\n", problem);
            fflush(stdout);
            return;
        }
        if (internet->scenario != NULL)
            scenario_free(internet->scenario);
        internet->scenario = scenario;
        begin_anew(internet, seed);
        say("ok");
    } else if (sscanf(line, "reset %llu", &seed) == 1) {
        begin_anew(internet, seed);
        say("ok");
    } else if (sscanf(line, "log %4095s", file) == 1) {
        strcpy(internet->log_file, file);
    } else {
        say("error unknown command");
    }
}

static void take_commands(struct internet *internet)
{
    ssize_t length = read(STDIN_FILENO, internet->input + internet->input_length,
                          sizeof internet->input - 1 - internet->input_length);
    if (length <= 0) {
        internet->ended = internet->ended || length == 0 || errno != EAGAIN;
        return;
    }
    internet->input_length += (size_t)length;
    internet->input[internet->input_length] = '\0';
    char *end;
    while ((end = strchr(internet->input, '\n')) != NULL) {
        *end = '\0';
        obey(internet, internet->input);
        internet->input_length -= (size_t)(end + 1 - internet->input);
        memmove(internet->input, end + 1, internet->input_length + 1);
    }
    if (internet->input_length == sizeof internet->input - 1)
        internet->ended = true;
}

static void write_log(struct internet *internet)
{
    int problem = record_write(&internet->log, internet->log_file);
    internet->log_file[0] = '\0';
    if (problem != 0)
        printf("error %s\n", strerror(problem));
    else
        printf("ok %zu\n", internet->log.count);
    fflush(stdout);
}

/* --- the loop -------------------------------------------------------------------------------------- */

/* Wait for a datagram, a command, or until `until_ns`; INT64_MAX waits without end. */
static void wait_until(struct internet *internet, int64_t now_ns, int64_t until_ns)
{
    struct pollfd sources[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = internet->device, .events = POLLIN}};
    struct timespec timeout = {0};
    if (until_ns > now_ns) {
        timeout.tv_sec = (until_ns - now_ns) / NANOSECONDS;
        timeout.tv_nsec = (until_ns - now_ns) % NANOSECONDS;
    }
    if (ppoll(sources, 2, until_ns == INT64_MAX ? NULL : &timeout, NULL) > 0 && sources[0].revents != 0)
        take_commands(internet);
}

static bool stays_awake(const struct internet *internet, int64_t now_ns)
{
    if (now_ns - internet->last_arrival_ns < internet->linger_ns)
        return true;
    if (internet->heap_count > 0)
        return false;
    return now_ns - internet->last_arrival_ns < internet->vigil_ns ||
           now_ns - internet->last_departure_ns < internet->vigil_ns;
}

static void run(struct internet *internet)
{
    int64_t looked_ns = 0;
    while (!internet->ended) {
        int64_t now_ns = read_clock(CLOCK_MONOTONIC);
        if (internet->heap_count > 0 && internet->heap[0].due_ns <= now_ns) {
            send_first(internet);
            continue;
        }
        if (take_probe(internet))
            continue;
        int64_t until_ns = internet->heap_count > 0 ? internet->heap[0].due_ns - internet->spin_ns : INT64_MAX;
        if (!stays_awake(internet, now_ns) && until_ns > now_ns) {
            record_make_room(&internet->log);
            if (internet->heap_count == 0 && internet->log_file[0] != '\0') {
                write_log(internet);
                continue;
            }
            wait_until(internet, now_ns, until_ns);
            looked_ns = now_ns;
        } else if (now_ns - looked_ns > COMMAND_INTERVAL_NS) {
            wait_until(internet, now_ns, now_ns);
            looked_ns = now_ns;
            if (internet->heap_count == 0 && internet->log_file[0] != '\0')
                write_log(internet);
        }
    }
}

static int open_device(const char *name)
{
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    if (device < 0 || strlen(name) >= sizeof request.ifr_name)
        return -1;
    strcpy(request.ifr_name, name);
    return ioctl(device, TUNSETIFF, &request) < 0 ? -1 : device;
}

int main(int count, char **arguments)
{
    if (count != 6) {
        fprintf(stderr, "usage: %s DEVICE SPIN_NS LINGER_NS VIGIL_NS CPU\n", arguments[0]);
        return 2;
    }
    static struct internet internet;
    internet.spin_ns = atoll(arguments[2]);
    internet.linger_ns = atoll(arguments[3]);
    internet.vigil_ns = atoll(arguments[4]);
    int cpu = atoi(arguments[5]); /* negative: any */
    internet.device = open_device(arguments[1]);
    if (internet.device < 0) {
        perror("TUN device");
        return 1;
    }
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    prctl(PR_SET_TIMERSLACK, 1L, 0L, 0L, 0L);
    record_make_room(&internet.log);

    /* None of these is essential; the first line of output says what was granted. */
    struct sched_param parameters = {.sched_priority = PRIORITY};
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (cpu >= 0)
        CPU_SET((size_t)cpu, &cpus);
    bool pinned = cpu >= 0 && sched_setaffinity(0, sizeof cpus, &cpus) == 0;
    bool real_time = sched_setscheduler(0, SCHED_FIFO, &parameters) == 0;
    bool locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
    printf("ready real_time=%d pinned=%d locked=%d\n", real_time, pinned, locked);
    fflush(stdout);

    begin_anew(&internet, 1);
    run(&internet);
    return 0;
}

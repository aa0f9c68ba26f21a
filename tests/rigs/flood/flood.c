/*
 * Pours datagrams into a network namespace, as if they came from a link: a TUN device of its own that it
 * writes prepared datagrams into, over and over, at a steady rate. A write goes all the way through the
 * kernel to the sockets before it returns. What the kernel sends back into the device is left to drop out of
 * its queue.
 *
 * It keeps to a timetable: where it could not get on with its work for a while, it catches up. Commands come
 * on the standard input, one a line, and each is answered by one line; the end of the input ends the program:
 *
 *     load FILE      take the datagrams from a file: each is its length in two bytes, big-endian, and its bytes
 *     start RATE     begin to pour so many a second
 *     stop           end it
 *
 * How many datagrams have been poured in so far stands in the first eight bytes of a shared file, for everybody
 * to read at any time; how many the kernel took no more than a look at (an error of write) in the next eight.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS 1000000000LL
#define TICK_NS 1000000LL /* how often it pours */
#define MOST_DATAGRAMS 65536

struct counts {
    _Atomic uint64_t poured;
    _Atomic uint64_t refused;
};

struct flood {
    int device;
    struct counts *counts;
    uint8_t *bytes;
    size_t places[MOST_DATAGRAMS];
    uint16_t lengths[MOST_DATAGRAMS];
    size_t datagrams;
    size_t next;
    int64_t rate; /* 0 while it doesn't pour */
    int64_t began_ns;
    int64_t done;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NANOSECONDS + now.tv_nsec;
}

static int open_device(const char *name)
{
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0)
        return -1;
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    return ioctl(device, TUNSETIFF, &request) < 0 ? -1 : device;
}

static struct counts *open_counts(const char *file)
{
    int descriptor = open(file, O_RDWR | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    void *memory = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    return memory == MAP_FAILED ? NULL : memory;
}

static const char *load(struct flood *flood, const char *file)
{
    int descriptor = open(file, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) < 0)
        return "there is no such file";
    free(flood->bytes);
    flood->datagrams = flood->next = 0;
    size_t size = (size_t)status.st_size;
    flood->bytes = malloc(size + 1);
    size_t got = 0;
    while (flood->bytes != NULL && got < size) {
        ssize_t more = read(descriptor, flood->bytes + got, size - got);
        if (more <= 0)
            break;
        got += (size_t)more;
    }
    close(descriptor);
    if (flood->bytes == NULL || got < size)
        return "the file can't be read";
    for (size_t place = 0; place + 2 <= size;) {
        uint16_t length = (uint16_t)(flood->bytes[place] << 8 | flood->bytes[place + 1]);
        place += 2;
        if (flood->datagrams == MOST_DATAGRAMS || length > size - place)
            return "the file is damaged or too long";
        flood->places[flood->datagrams] = place;
        flood->lengths[flood->datagrams++] = length;
        place += length;
    }
    return flood->datagrams ? NULL : "the file holds no datagram";
}

/* Pours what is due by now. */
static void pour(struct flood *flood)
{
    int64_t due = (int64_t)((__int128)(now_ns() - flood->began_ns) * flood->rate / NANOSECONDS);
    for (; flood->done < due; flood->done++) {
        size_t one = flood->next;
        flood->next = one + 1 == flood->datagrams ? 0 : one + 1;
        ssize_t written = write(flood->device, flood->bytes + flood->places[one], flood->lengths[one]);
        if (written < 0)
            flood->counts->refused++;
        else
            flood->counts->poured++;
    }
}

/* Returns the answer to a command. */
static const char *obey(struct flood *flood, char *line)
{
    char *word = strtok(line, " \n");
    char *argument = strtok(NULL, "\n");
    if (word != NULL && argument != NULL && strcmp(word, "load") == 0) {
        const char *fault = load(flood, argument);
        return fault == NULL ? "ok" : fault;
    }
    if (word != NULL && argument != NULL && strcmp(word, "start") == 0 && flood->datagrams > 0) {
        flood->rate = atoll(argument);
        flood->began_ns = now_ns();
        flood->done = 0;
        return "ok";
    }
    if (word != NULL && strcmp(word, "stop") == 0) {
        flood->rate = 0;
        return "ok";
    }
    return "what?";
}

int main(int count, char **arguments)
{
    static struct flood flood;
    if (count != 3) {
        fprintf(stderr, "usage: %s DEVICE COUNTS\n", arguments[0]);
        return 2;
    }
    flood.device = open_device(arguments[1]);
    flood.counts = open_counts(arguments[2]);
    if (flood.device < 0 || flood.counts == NULL) {
        perror("flood");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    struct pollfd commands = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        struct timespec tick = {.tv_nsec = TICK_NS};
        int ready = ppoll(&commands, 1, flood.rate ? &tick : NULL, NULL);
        if (ready < 0 && errno != EINTR)
            return 1;
        if (ready > 0) {
            char line[4096];
            /* One command at a time is sent, and its answer awaited. */
            ssize_t length = read(STDIN_FILENO, line, sizeof line - 1);
            if (length <= 0)
                return 0;
            line[length] = 0;
            puts(obey(&flood, line));
            fflush(stdout);
        }
        if (flood.rate)
            pour(&flood);
    }
}

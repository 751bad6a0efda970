/* What the machine can do at best, for the ratios: one line of JSON with the median time of
 *   sync    a write of 4 KiB and fdatasync in a file that was filled with zeros, one writer
 *   sync3   the same with three writers at once, a file each
 *   trip    one byte to another process over TCP on loopback and back
 * usage: limit DIR SECONDS */
#include "node.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 4096, FILE_BYTES = 16 << 20 };

static void need(int good, const char *what) {
    if (good) return;
    perror(what);
    exit(1);
}

/* A file of zeros that are on the disk. */
static int zeroed(const char *dir, int number) {
    static const char zeros[1 << 20];
    char path[4096];
    snprintf(path, sizeof path, "%s/limit-%d", dir, number);
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
    need(fd >= 0, path);
    for (int at = 0; at < FILE_BYTES; at += (int)sizeof zeros)
        need(write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros, "write");
    need(fsync(fd) == 0, "fsync");
    unlink(path);
    return fd;
}

static double sync_median(int fd, double seconds) {
    static char block[BLOCK];
    latencies *l = calloc(1, sizeof *l);
    need(l != NULL, "calloc");
    memset(block, 'x', sizeof block);
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    for (off_t at = 0; now_ns() < end; at = (at + BLOCK) % FILE_BYTES) {
        uint64_t start = now_ns();
        need(pwrite(fd, block, BLOCK, at) == BLOCK, "pwrite");
        need(fdatasync(fd) == 0, "fdatasync");
        latencies_add(l, now_ns() - start);
    }
    double median = latencies_at(l, 0.5);
    free(l);
    return median;
}

/* The mean of the writers' medians. */
static double syncs(const char *dir, int writers, double seconds) {
    int fds[8], results[2];
    double sum = 0, one;
    need(pipe(results) == 0, "pipe");
    for (int i = 0; i < writers; i++) fds[i] = zeroed(dir, i);
    for (int i = 0; i < writers; i++) {
        pid_t child = fork();
        need(child >= 0, "fork");
        if (child > 0) continue;
        one = sync_median(fds[i], seconds);
        _exit(write(results[1], &one, sizeof one) != sizeof one);
    }
    for (int i = 0; i < writers; i++) {
        int status = 1;
        need(wait(&status) > 0 && status == 0, "a writer");
        need(read(results[0], &one, sizeof one) == sizeof one, "read");
        sum += one;
        close(fds[i]);
    }
    return sum / writers;
}

/* Two ends of a connection over loopback. */
static void connected(int ends[2]) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof here;
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    need(bind(listener, (struct sockaddr *)&here, size) == 0 && listen(listener, 1) == 0, "listen");
    need(getsockname(listener, (struct sockaddr *)&here, &size) == 0, "getsockname");
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(ends[0], (struct sockaddr *)&here, size) == 0, "connect");
    ends[1] = accept(listener, NULL, NULL);
    need(ends[1] >= 0, "accept");
    for (int i = 0; i < 2; i++) setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    close(listener);
}

static double trip_median(double seconds) {
    int ends[2];
    char byte = 'x';
    connected(ends);
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        close(ends[0]);
        while (read(ends[1], &byte, 1) == 1 && write(ends[1], &byte, 1) == 1) {}
        _exit(0);
    }
    latencies *l = calloc(1, sizeof *l);
    need(l != NULL, "calloc");
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    while (now_ns() < end) {
        uint64_t start = now_ns();
        need(write(ends[0], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1, "echo");
        latencies_add(l, now_ns() - start);
    }
    close(ends[0]), close(ends[1]);
    waitpid(child, NULL, 0);
    double median = latencies_at(l, 0.5);
    free(l);
    return median;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: limit DIR SECONDS\n"), 2;
    double part = atof(argv[2]) / 3;
    double one = syncs(argv[1], 1, part), three = syncs(argv[1], 3, part), trip = trip_median(part);
    printf("{\"sync_us\": %.1f, \"sync3_us\": %.1f, \"trip_us\": %.1f}\n", one, three, trip);
    return 0;
}

/* Load for a message relay: N TLS connections in a ring, each sending to the next, with bytes made beforehand.
 *
 * Knows no protocol. From a file made by loadgen.py it takes, per connection, a dialogue that signs it in (send these
 * bytes, wait until those appear), the bytes of one message to the next connection, of one receipt to the one before
 * it, and of a heartbeat. Messages and receipts are counted at whoever receives them, by a marker inside each.
 *
 * Commands on stdin, one answer (a line of JSON) each:
 *   saturate WINDOW RECEIPTS SECONDS  keep WINDOW messages of each connection under way; with RECEIPTS each message is
 *                                     answered by a receipt and leaves the window only when that is back
 *   paced RATE SECONDS                send RATE messages/s in all, evenly spread, whatever comes back
 *   quit
 * Latency runs from when a message was due to be sent to when it was read. The first fifth of each run is not counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct { uint32_t size; char *data; } bytes;
enum { RING = 1 << 16, READ = 1 << 16, SAMPLES = 1 << 23 };

typedef struct {
    SSL *ssl;
    int fd, index, dirty, want_write;
    bytes message, receipt, beat;
    char *out;
    size_t out_size, out_cap;
    uint64_t sent[RING]; /* when each message under way was due */
    uint32_t head, tail;
    char carry[2][64]; /* the end of the last read, in case a marker is cut in two */
    uint32_t carried[2];
} conn;

static conn *conns;
static uint32_t count;
static int poller, receipts;
static bytes marker[2]; /* of a message, of a receipt */
static conn **dirty;
static uint32_t dirty_count;
static uint32_t *samples, sample_count;
static uint64_t messages, got_receipts, read_calls, lost;
static int counting, sending;

static void die(const char *what) {
    fprintf(stderr, "loadgen: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static bytes take(FILE *file) {
    bytes b;
    if (fread(&b.size, 4, 1, file) != 1) die("script");
    b.data = malloc(b.size + 1);
    if (b.size && fread(b.data, 1, b.size, file) != b.size) die("script");
    b.data[b.size] = 0;
    return b;
}

static void append(conn *c, const bytes *b, uint32_t times) {
    size_t need = c->out_size + (size_t)b->size * times;
    if (need > c->out_cap) {
        c->out_cap = need * 2;
        if (!(c->out = realloc(c->out, c->out_cap))) die("memory");
    }
    while (times--) {
        memcpy(c->out + c->out_size, b->data, b->size);
        c->out_size += b->size;
    }
    if (!c->dirty) {
        c->dirty = 1;
        dirty[dirty_count++] = c;
    }
}

static void send_messages(conn *c, uint32_t n, uint64_t due) {
    if (c->head - c->tail + n > RING) { /* hopelessly behind: as good as lost */
        lost += n;
        return;
    }
    for (uint32_t i = 0; i < n; i++) c->sent[c->head++ % RING] = due;
    append(c, &c->message, n);
}

static void watch(conn *c, int write) {
    struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    if (c->want_write == write) return;
    c->want_write = write;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e)) die("epoll_ctl");
}

static void write_out(conn *c) {
    size_t done = 0;
    while (done < c->out_size) {
        int n = SSL_write(c->ssl, c->out + done, (int)(c->out_size - done));
        if (n <= 0) {
            int why = SSL_get_error(c->ssl, n);
            if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ) break;
            die("a connection ended while writing");
        }
        done += (size_t)n;
    }
    memmove(c->out, c->out + done, c->out_size - done);
    c->out_size -= done;
    watch(c, c->out_size > 0);
}

static void flush(void) {
    for (uint32_t i = 0; i < dirty_count; i++) {
        dirty[i]->dirty = 0;
        write_out(dirty[i]);
    }
    dirty_count = 0;
}

static uint32_t occurrences(const char *data, size_t size, const bytes *what) {
    uint32_t n = 0;
    const char *end = data + size, *at;
    while ((at = memmem(data, (size_t)(end - data), what->data, what->size))) {
        n++;
        data = at + what->size;
    }
    return n;
}

/* Markers in what was just read, and across the seam with what was read before. No marker overlaps itself. */
static uint32_t count_markers(conn *c, int kind, const char *data, size_t size) {
    const bytes *m = &marker[kind];
    uint32_t keep = m->size - 1, n = 0;
    char seam[128];
    size_t from_new = size < keep ? size : keep;
    memcpy(seam, c->carry[kind], c->carried[kind]);
    memcpy(seam + c->carried[kind], data, from_new);
    n = occurrences(seam, c->carried[kind] + from_new, m) + occurrences(data, size, m);
    if (size >= keep) {
        memcpy(c->carry[kind], data + size - keep, keep);
        c->carried[kind] = keep;
    } else {
        size_t total = c->carried[kind] + size, kept = total < keep ? total : keep;
        memmove(c->carry[kind], seam + total - kept, kept);
        c->carried[kind] = (uint32_t)kept;
    }
    return n;
}

static void arrived(conn *c, const char *data, size_t size, uint64_t now) {
    conn *from = &conns[(c->index + count - 1) % count];
    uint32_t n = count_markers(c, 0, data, size), r = receipts ? count_markers(c, 1, data, size) : 0;
    for (uint32_t i = 0; i < n; i++) {
        if (from->tail == from->head) die("more messages came than were sent");
        uint64_t due = from->sent[from->tail++ % RING];
        if (counting && sample_count < SAMPLES) samples[sample_count++] = (uint32_t)((now - due) / 1000);
    }
    if (counting) messages += n, got_receipts += r;
    if (receipts && n) append(c, &c->receipt, n);
    if (sending && (receipts ? r : n)) send_messages(receipts ? c : from, receipts ? r : n, now);
}

static void read_in(conn *c) {
    static char buffer[READ];
    static int last;
    for (;;) {
        int n = SSL_read(c->ssl, buffer, READ);
        if (n <= 0) {
            int why = SSL_get_error(c->ssl, n);
            if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return;
            fprintf(stderr, "loadgen: the last thing read was: %.*s\n", (int)last, buffer);
            die("a connection ended while reading");
        }
        read_calls++, last = n;
        arrived(c, buffer, (size_t)n, now_ns());
        if (!SSL_has_pending(c->ssl)) return;
    }
}

static int turn(int timeout_ms) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, timeout_ms);
    for (int i = 0; i < n; i++) {
        conn *c = events[i].data.ptr;
        if (events[i].events & EPOLLOUT) append(c, &c->beat, 0);
        if (events[i].events & ~(uint32_t)EPOLLOUT) read_in(c);
    }
    flush();
    return n;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t under_way(void) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < count; i++) n += conns[i].head - conns[i].tail;
    return n;
}

static void run(uint32_t window, double rate, double seconds) {
    uint64_t begin = now_ns(), warm = begin + (uint64_t)(seconds * 0.2e9), end = begin + (uint64_t)(seconds * 1e9);
    uint64_t t, started = 0, due_count = 0;
    double cpu = 0;
    sample_count = 0, messages = got_receipts = read_calls = lost = 0, counting = 0, sending = window > 0;
    for (uint32_t i = 0; window && i < count; i++) send_messages(&conns[i], window, begin);
    flush();
    while ((t = now_ns()) < end) {
        if (!counting && t >= warm) counting = 1, started = t, cpu = cpu_seconds(), read_calls = 0;
        if (rate > 0) {
            uint64_t total = (uint64_t)((double)(t - begin) * rate / 1e9);
            for (; due_count < total; due_count++)
                send_messages(&conns[due_count % count], 1, begin + (uint64_t)((double)due_count / rate * 1e9));
            flush();
        }
        turn(rate > 0 ? 0 : 100);
    }
    counting = sending = 0;
    double took = (double)(now_ns() - started) / 1e9;
    cpu = cpu_seconds() - cpu;
    for (end = now_ns() + 5000000000u; under_way() && now_ns() < end;) turn(50);
    for (end = now_ns() + 100000000u; receipts && now_ns() < end;) turn(20);
    qsort(samples, sample_count, sizeof *samples, by_size);
    uint32_t p50 = sample_count ? samples[sample_count / 2] : 0;
    uint32_t p99 = sample_count ? samples[(uint64_t)sample_count * 99 / 100] : 0;
    printf("{\"rate\": %.1f, \"p50_us\": %u, \"p99_us\": %u, \"generator_cpu\": %.3f, \"per_read\": %.2f, "
           "\"receipt_rate\": %.1f, \"lost\": %llu}\n",
           (double)messages / took, p50, p99, cpu / took, (double)messages / (double)(read_calls ? read_calls : 1),
           (double)got_receipts / took, (unsigned long long)(lost + under_way()));
    fflush(stdout);
}

static void sign_in(conn *c, FILE *file, SSL_CTX *context, struct sockaddr_in *where) {
    static char buffer[1 << 20];
    uint32_t steps;
    int one = 1;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    struct timeval patience = {.tv_sec = 20};
    if ((c->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)where, sizeof *where)) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    c->ssl = SSL_new(context);
    SSL_set_fd(c->ssl, c->fd);
    if (SSL_connect(c->ssl) != 1) die("TLS");
    if (fread(&steps, 4, 1, file) != 1) die("script");
    while (steps--) {
        bytes say = take(file), wait = take(file);
        size_t held = 0;
        if (say.size && SSL_write(c->ssl, say.data, (int)say.size) <= 0) die("signing in");
        while (wait.size && !(held && memmem(buffer, held, wait.data, wait.size))) {
            int n = SSL_read(c->ssl, buffer + held, (int)(sizeof buffer - held - 1));
            if (n <= 0) {
                fprintf(stderr, "loadgen: connection %d waited for \"%s\"; there came \"%.*s\"\n", c->index, wait.data,
                        (int)held, buffer);
                exit(1);
            }
            held += (size_t)n;
        }
    }
    c->message = take(file), c->receipt = take(file), c->beat = take(file);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e)) die("epoll_ctl");
}

static void heartbeats(void) {
    for (uint32_t i = 0; i < count; i++) append(&conns[i], &conns[i].beat, 1);
    flush();
}

int main(int argc, char **argv) {
    struct sockaddr_in where = {.sin_family = AF_INET};
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    char line[256];
    unsigned char alpn[64];
    if (!file) die("usage: loadgen SCRIPT PORT");
    inet_pton(AF_INET, "127.0.0.1", &where.sin_addr);
    where.sin_port = htons((uint16_t)atoi(argv[2]));
    SSL_CTX_set_read_ahead(context, 1); /* or each record costs two reads */
    SSL_CTX_set_default_read_buffer_len(context, READ);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    poller = epoll_create1(0);
    bytes protocol = take(file);
    if (protocol.size) {
        alpn[0] = (unsigned char)protocol.size;
        memcpy(alpn + 1, protocol.data, protocol.size);
        SSL_CTX_set_alpn_protos(context, alpn, protocol.size + 1);
    }
    marker[0] = take(file), marker[1] = take(file);
    if (fread(&count, 4, 1, file) != 1) die("script");
    conns = calloc(count, sizeof *conns);
    dirty = calloc(count, sizeof *dirty);
    samples = malloc(SAMPLES * sizeof *samples);
    for (uint32_t i = 0; i < count; i++) {
        conns[i].index = (int)i;
        sign_in(&conns[i], file, context, &where);
    }
    printf("{\"connections\": %u, \"tls\": \"%s %s\"}\n", count, SSL_get_version(conns[0].ssl),
           SSL_get_cipher(conns[0].ssl));
    fflush(stdout);
    for (uint64_t beat = now_ns();;) {
        struct pollfd in = {.fd = 0, .events = POLLIN};
        unsigned window, with_receipts;
        double rate, seconds;
        if (now_ns() - beat > 5000000000u) beat = now_ns(), heartbeats();
        turn(20);
        if (poll(&in, 1, 0) <= 0) continue;
        if (!fgets(line, sizeof line, stdin) || !strncmp(line, "quit", 4)) return 0;
        if (sscanf(line, "saturate %u %u %lf", &window, &with_receipts, &seconds) == 3)
            receipts = (int)with_receipts, run(window, 0, seconds);
        else if (sscanf(line, "paced %lf %lf", &rate, &seconds) == 2)
            receipts = 0, run(0, rate, seconds);
        else
            printf("{\"error\": \"unknown command\"}\n"), fflush(stdout);
    }
}

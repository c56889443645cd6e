/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bombs.h"

/* 203.0.113.0/24 is for documentation: nobody answers, wherever the test runs. */
static struct sockaddr_in somewhere(uint32_t n) {
        return (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(0xcb007100U | (n & 0xff)),
                .sin_port = htons((uint16_t)(1024 + n % 60000)),
        };
}

/* Connections that nobody answers: each is an entry of the host's connection table. */
static void open_connections(void) {
        for (uint32_t n = (uint32_t)getpid();; n++) {
                struct sockaddr_in to = somewhere(n);
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

                if (fd < 0)
                        continue;
                (void)connect(fd, (struct sockaddr *)&to, sizeof(to));
                (void)close(fd);
        }
}

static void connections(void) {
        keep_spreading(4, open_connections);
}

static void send_datagrams(void) {
        static char datagram[64];
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        for (uint32_t n = (uint32_t)getpid() * 7919;; n++) {
                struct sockaddr_in to = somewhere(n);

                (void)sendto(fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&to, sizeof(to));
        }
}

static void datagrams(void) {
        keep_spreading(4, send_datagrams);
}

static void send_large(void) {
        static char datagram[1400]; /* in one piece, for no fragment leaves a dyno */
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        for (uint32_t n = 0;; n++) {
                struct sockaddr_in to = somewhere(1);

                (void)sendto(fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&to, sizeof(to));
        }
}

static void bandwidth(void) {
        keep_spreading(2, send_large);
}

/* Past the routes: every address is a neighbour, of which the host has one table for all. */
static void send_to_neighbours(void) {
        const int yes = 1;
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        (void)setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", sizeof("eth0"));
        (void)setsockopt(fd, SOL_SOCKET, SO_DONTROUTE, &yes, sizeof(yes));
        for (uint32_t n = (uint32_t)getpid() * 7919;; n++) {
                struct sockaddr_in to = somewhere(n);

                to.sin_addr.s_addr = htonl(0x0a000000U | (n & 0xffffff));
                (void)sendto(fd, &n, sizeof(n), 0, (struct sockaddr *)&to, sizeof(to));
        }
}

static void neighbours(void) {
        keep_spreading(2, send_to_neighbours);
}

/* Its own loopback: softirqs are nobody's time unless they are counted. */
static void loop(void) {
        struct sockaddr_in to = {
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                .sin_port = htons(9),
        };
        static char datagram[1024];
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        for (;;)
                (void)sendto(fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&to, sizeof(to));
}

static void loopback(void) {
        keep_spreading(4, loop);
}

static void bind_ports(void) {
        for (uint16_t port = 1024;; port++) {
                struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

                if (fd < 0) {
                        going();
                        continue;
                }
                if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
                        (void)listen(fd, 4096);
        }
}

static struct sockaddr_in here(uint16_t port) {
        return (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                .sin_port = htons(port),
        };
}

#define ORPHANS 9000 /* of a process: nearly all descriptors that it may have */

/* What it waits for is there at once or, beyond a limit, never. */
static int patient_socket(void) {
        const struct timeval second = {.tv_sec = 1};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second));
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
        return fd;
}

/* Both ends of a connection. Return: 0, or -1 if there is none. */
static int connect_to(int listener, const struct sockaddr_in *at, int ends[2]) {
        ends[0] = patient_socket();
        if (ends[0] < 0)
                return -1;
        if (connect(ends[0], (const struct sockaddr *)at, sizeof(*at)) == 0) {
                ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (ends[1] >= 0)
                        return 0;
        }
        (void)close(ends[0]);
        return -1;
}

/* Closed with bytes that nobody takes: the kernel keeps the connection for a minute or more. */
static void leave_orphans(void) {
        static char block[65536];
        const int small = 4096;
        struct sockaddr_in at = here((uint16_t)(1024 + getpid() % 60000));
        int listener = patient_socket();

        (void)setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 16) < 0)
                return;
        for (int n = 0; n < ORPHANS; n++) {
                int ends[2];

                if (connect_to(listener, &at, ends) < 0)
                        break;
                (void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
                while (send(ends[0], block, sizeof(block), MSG_DONTWAIT) > 0)
                        ;
                (void)close(ends[0]);
        }
        going();
        for (;;)
                (void)pause();
}

static void probe_each_second(int fd) {
        const int on = 1, seconds = 1;

        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* Both ends of each connection ask the other one whether it is there. */
static void keep_alive(void) {
        struct sockaddr_in at = here((uint16_t)(1024 + getpid() % 60000));
        int listener = patient_socket();

        if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 16) < 0)
                return;
        for (int n = 0; n < ORPHANS / 2; n++) {
                int ends[2];

                if (connect_to(listener, &at, ends) < 0)
                        break;
                probe_each_second(ends[0]);
                probe_each_second(ends[1]);
        }
        going();
        for (;;)
                (void)pause();
}

/* The work of timers and softirqs alone, without a process that does anything. */
static void keepalives(void) {
        spread(8, keep_alive);
        for (;;)
                (void)pause();
}

static void orphans(void) {
        spread(4, leave_orphans);
        for (;;)
                (void)pause();
}

#define SPREAD 64 /* connections over which bytes are spread */

/* The rest of the page that the last byte is in, which is given back at once. */
static void turn_page(const int filler[2]) {
        static char page[4095];

        if (send(filler[0], page, sizeof(page), MSG_DONTWAIT) > 0)
                (void)recv(filler[1], page, sizeof(page), MSG_WAITALL);
}

/* Bytes that nobody reads, each in a page of its own: some have arrived, the others wait. */
static void tcp_pages(void) {
        struct sockaddr_in at = here(1024);
        const int yes = 1, small = 1;
        static int ends[SPREAD][2];
        int listener = patient_socket(), filler[2];
        bool refused = false;

        if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 16) < 0 ||
            connect_to(listener, &at, filler) < 0)
                return;
        for (int n = 0; n < SPREAD; n++) {
                if (n == SPREAD / 2)
                        (void)setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
                if (connect_to(listener, &at, ends[n]) < 0)
                        return;
                (void)setsockopt(ends[n][0], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        }
        for (unsigned n = 0;; n++) {
                if (send(ends[n % SPREAD][0], "x", 1, MSG_DONTWAIT) < 0)
                        refused = true;
                else
                        turn_page(filler);
                if (refused)
                        going();
        }
}

const Bomb bombs_network[] = {
        {"connections", "the connection table, by TCP", connections},
        {"datagrams", "the connection table, by UDP", datagrams},
        {"bandwidth", "the uplink", bandwidth},
        {"neighbours", "the table of neighbours", neighbours},
        {"loopback", "time of softirqs", loopback},
        {"orphans", "the host's closed connections", orphans},
        {"keepalives", "the host's timers and softirqs", keepalives},
        {"ports", "ports and listening sockets", bind_ports},
        {"tcp-pages", "memory that nobody is charged for, by bytes that nobody takes", tcp_pages},
        {NULL, NULL, NULL},
};

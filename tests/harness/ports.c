/* SPDX-License-Identifier: Apache-2.0 */
/* Ports for tests that have to name one. */
#include "harness/ranks.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_free(int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_ANY),
                               .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0);
    bool is = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
    close(fd);
    return is;
}

int ranks_free_port(void)
{
    int port = 20000 + getpid() % 10000;
    for (int i = 0; i < 1000 && !(is_free(port) && is_free(port + 1)); i++) {
        port += 2;
    }
    return port;
}
